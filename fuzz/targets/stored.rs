//! Any bytes as each of the stored values and control requests: what is read is written and read back as itself.

#![no_main]

use mesh_lattice::{
    application::{Application, Values},
    control, stored,
    value::{read, read_carrying},
    wit,
};
use serde::{Serialize, de::DeserializeOwned};

fn there_and_back<T: Serialize + DeserializeOwned>(data: &[u8]) {
    if let Ok(value) = read::<T>(data) {
        let written = rmp_serde::to_vec_named(&value).expect("what was read is written");
        let again = rmp_serde::from_slice::<T>(&written).expect("what was written is read");
        assert_eq!(rmp_serde::to_vec_named(&again).expect("it is written again"), written);
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    match which % 22 {
        0 => there_and_back::<stored::LatticeRecord>(data),
        1 => there_and_back::<stored::AppPointer>(data),
        2 => there_and_back::<Application>(data),
        3 => there_and_back::<Values>(data),
        4 => there_and_back::<stored::OwnerRecord>(data),
        5 => there_and_back::<stored::TrustStatement>(data),
        6 => there_and_back::<stored::NodeRecord>(data),
        7 => there_and_back::<stored::Pin>(data),
        8 => there_and_back::<stored::Assignment>(data),
        9 => there_and_back::<stored::Observed>(data),
        10 => there_and_back::<stored::Route>(data),
        11 => there_and_back::<stored::Leader>(data),
        12 => there_and_back::<stored::Lease>(data),
        13 => there_and_back::<stored::Event>(data),
        14 => there_and_back::<control::StatusRequest>(data),
        15 => there_and_back::<control::ReadRequest>(data),
        16 => there_and_back::<control::Commit>(data),
        17 => drop(read_carrying::<control::ControlReply<control::Status>>(data)),
        18 => drop(read_carrying::<control::ControlReply<control::Read>>(data)),
        19 => drop(wit::from_wire::<(wit::http::RequestHead,)>(data).map(|(head,)| head.into_parts())),
        20 => drop(wit::from_wire::<wit::http::ResponseHead>(data).map(wit::http::ResponseHead::into_parts)),
        _ => drop(wit::from_wire::<(String, Vec<String>)>(data)),
    }
});
