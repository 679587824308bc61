//! What stands between us and a server that wants TLS, told apart by what a person can do about it.

use std::{error::Error, io};

use async_nats::rustls::{self, AlertDescription, CertificateError};

/// Why there is no TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsTrouble {
    /// Nobody whom we believe signed the server's certificate.
    Authority,
    /// The server's certificate is for other names than the one that it was called by.
    Name,
    /// The server's certificate does not hold now.
    Date,
    /// The server wants a certificate of ours, or another one.
    OurCertificate,
    /// The server does not speak TLS.
    NotSpoken,
    /// Anything else.
    Other,
}

impl TlsTrouble {
    /// What TLS has to do with this error; `None` where it has nothing.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::told_by(error));
            }
            // What the system's errors carry is no source of theirs.
            let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = match inside {
                Some(inside) => Some(inside),
                None => error.source(),
            };
        }
        None
    }

    fn told_by(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer => Self::Authority,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Date,
                _ => Self::Other,
            },
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown,
            ) => Self::OurCertificate,
            rustls::Error::InvalidMessage(_) => Self::NotSpoken,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As async-nats passes it on.
    fn passed_on(error: rustls::Error) -> async_nats::ConnectError {
        io::Error::new(io::ErrorKind::InvalidData, error).into()
    }

    #[test]
    fn what_stands_against_tls_is_told_apart() {
        let certificate = rustls::Error::InvalidCertificate;
        let alert = rustls::Error::AlertReceived;
        for (error, trouble) in [
            (certificate(CertificateError::UnknownIssuer), TlsTrouble::Authority),
            (certificate(CertificateError::NotValidForName), TlsTrouble::Name),
            (certificate(CertificateError::Expired), TlsTrouble::Date),
            (certificate(CertificateError::NotValidYet), TlsTrouble::Date),
            (certificate(CertificateError::BadSignature), TlsTrouble::Other),
            (alert(AlertDescription::CertificateRequired), TlsTrouble::OurCertificate),
            (alert(AlertDescription::UnknownCA), TlsTrouble::OurCertificate),
            (alert(AlertDescription::InternalError), TlsTrouble::Other),
            (rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), TlsTrouble::NotSpoken),
        ] {
            assert_eq!(TlsTrouble::of(&passed_on(error.clone())), Some(trouble), "{error}");
        }
        let refused: async_nats::ConnectError = io::Error::from(io::ErrorKind::ConnectionRefused).into();
        assert_eq!(TlsTrouble::of(&refused), None);
    }
}
