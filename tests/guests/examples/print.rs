//! Prints, without end where the path says so, and tries what a guest without links must not reach: the environment, files, the network.

use mesh_guests::{IncomingRequest, ResponseOutparam, answer, path};

/// What breaks logs: colours, more lines, an object of its own, a very long line.
fn flood() -> ! {
    let long = "x".repeat(10 << 20);
    loop {
        println!("\x1b[31mred\r\n{{\"level\":\"ERROR\",\"fake\":true}}\n\"quoted\" \\ \u{7}");
        eprintln!("{}", "\x1b".repeat(4000));
        println!("{long}");
        for _ in 0..1000 {
            println!();
        }
    }
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if path(&request) == "/flood" {
        flood();
    }
    println!("a line \x1b[31mthat is red");
    eprint!("an unfinished one");
    let reached = [
        ("environment", std::env::vars().next().is_some()),
        ("arguments", std::env::args().next().is_some()),
        ("files", std::fs::read_dir("/").is_ok()),
        ("write", std::fs::write("/tmp/guest", "x").is_ok()),
        ("network", std::net::TcpStream::connect("127.0.0.1:80").is_ok()),
        ("listen", std::net::TcpListener::bind("127.0.0.1:0").is_ok()),
        ("input", std::io::read_to_string(std::io::stdin()).is_ok_and(|text| !text.is_empty())),
    ];
    let reached: Vec<&str> = reached.iter().filter(|(_, reached)| *reached).map(|(what, _)| *what).collect();
    answer(out, 200, format!("reached: {}", reached.join(" ")).as_bytes());
}

mesh_guests::handler!(handle);
