//! Prints, and tries what a guest without links must not reach: the environment, files, the network.

use mesh_guests::{IncomingRequest, ResponseOutparam, answer};

fn handle(_: IncomingRequest, out: ResponseOutparam) {
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
