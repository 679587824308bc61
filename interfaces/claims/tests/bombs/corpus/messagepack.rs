//! Lengths that lie, depth without end, and a great many of next to nothing.

/// Markers with lengths that nothing follows.
const LIES: &[(&str, &[u8])] = &[
    ("array32", &[0xdd, 0xff, 0xff, 0xff, 0xff]),
    ("array32 of a million", &[0xdd, 0, 0x0f, 0x42, 0x40]),
    ("array16", &[0xdc, 0xff, 0xff]),
    ("fixarray", &[0x9f]),
    ("map32", &[0xdf, 0xff, 0xff, 0xff, 0xff]),
    ("map32 of a million", &[0xdf, 0, 0x0f, 0x42, 0x40]),
    ("map16", &[0xde, 0xff, 0xff]),
    ("fixmap", &[0x8f]),
    ("str32", &[0xdb, 0xff, 0xff, 0xff, 0xff]),
    ("str32 of a gibibyte", &[0xdb, 0x40, 0, 0, 0, b'a']),
    ("str16", &[0xda, 0xff, 0xff, b'a']),
    ("str8", &[0xd9, 0xff, b'a']),
    ("bin32", &[0xc6, 0xff, 0xff, 0xff, 0xff]),
    ("bin32 of a gibibyte", &[0xc6, 0x40, 0, 0, 0, 1]),
    ("bin16", &[0xc5, 0xff, 0xff, 1]),
    ("bin8", &[0xc4, 0xff, 1]),
    ("ext32", &[0xc9, 0xff, 0xff, 0xff, 0xff, 1]),
    ("ext8", &[0xc7, 0xff, 1]),
    ("fixext16", &[0xd8, 1]),
    ("never used", &[0xc1]),
];

/// Things of a byte or three that become many more in memory.
const SMALL: &[(&str, &[u8])] = &[
    ("nil", &[0xc0]),
    ("number", &[7]),
    ("empty text", &[0xa0]),
    ("empty bytes", &[0xc4, 0]),
    ("empty array", &[0x90]),
    ("empty map", &[0x80]),
    ("array of nil", &[0x91, 0xc0]),
    ("pair", &[0x92, 0xa0, 0xc4, 0]),
    ("text", &[0xa1, b'a']),
];

fn array(length: usize, item: &[u8]) -> Vec<u8> {
    [&[0xdd][..], &u32::try_from(length).unwrap().to_be_bytes(), &item.repeat(length)].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[0xa0 | u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
}

/// A map of these fields.
fn map(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![0x80 | u8::try_from(fields.len()).unwrap()];
    for (name, value) in fields {
        out.extend(text(name));
        out.extend_from_slice(value);
    }
    out
}

/// The same bomb where decoders of different shapes meet it.
fn everywhere(name: &str, bomb: &[u8], all: &mut Vec<(String, Vec<u8>)>) {
    let id = [&[0xc4, 16][..], &[7; 16]].concat();
    let places = [
        ("alone", bomb.to_vec()),
        ("as a header", [&[0x93, 2][..], bomb, &[0xc4, 0]].concat()),
        ("as a body", [&[0x93, 13, 0x80][..], bomb].concat()),
        (
            "as trailers",
            [&[0x93, 8][..], &map(&[("i", &id), ("n", &text("b")), ("o", &[1]), ("t", bomb)]), &[0xc4, 0]].concat(),
        ),
        ("as a field nobody knows", [&[0x93, 10][..], &map(&[("i", &id), ("zz", bomb)]), &[0xc4, 0]].concat()),
        ("as parameters", [&[0x92][..], &text("b"), bomb].concat()),
    ];
    all.extend(places.into_iter().map(|(place, bytes)| (format!("{name} {place}"), bytes)));
}

/// The same bomb as the value of every field that is a list or a map somewhere.
fn in_fields(name: &str, bomb: &[u8], all: &mut Vec<(String, Vec<u8>)>) {
    for field in ["keys", "writes", "items", "hosts", "actors", "links", "labels", "payload", "headers", "a", "c"] {
        all.push((format!("{name} in the field {field}"), map(&[(field, bomb)])));
    }
    all.push((format!("{name} as an answer"), map(&[("ok", bomb)])));
    let half = ["v", "key", "generation", "signer"].map(|field| (field, &[1][..]));
    all.push((format!("{name} in an envelope"), map(&[&half[..], &[("zz", bomb)]].concat())));
}

pub(super) fn bombs() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, lie) in LIES {
        everywhere(name, lie, &mut all);
        in_fields(name, lie, &mut all);
    }
    for (name, small) in SMALL {
        everywhere(&format!("30,000 of {name}"), &array(30_000, small), &mut all);
        in_fields(&format!("20,000 of {name}"), &array(20_000, small), &mut all);
        all.push((format!("1,000,001 of {name}"), array(1_000_001, small)));
        all.push((format!("half a million of {name} as parameters"), [vec![0x91], array(500_000, small)].concat()));
    }
    for depth in [63, 64, 65, 1_000, 60_000, 500_000] {
        for (name, open) in [("arrays", &[0x91][..]), ("maps", &[0x81, 0xa1, b'a']), ("variants", &[0x81, 0xa1, b'n'])]
        {
            let deep = [open.repeat(depth), vec![0xc0]].concat();
            everywhere(&format!("{depth} {name} deep"), &deep, &mut all);
        }
    }
    // Keys of one map: many, and one that stands twice.
    let keys: Vec<u8> = (0..100_000u32).flat_map(|key| [&[0xa4][..], &key.to_be_bytes(), &[0xa0]].concat()).collect();
    let many =
        [&[0xdf][..], &100_000u32.to_be_bytes(), &keys.iter().map(|b| b & 0x7f | (b & 0x80)).collect::<Vec<_>>()]
            .concat();
    all.push(("a map of a hundred thousand".to_owned(), many));
    all.push(("a field that stands twice".to_owned(), map(&[("keys", &[0x90]), ("keys", &[0x90])])));
    all.push(("text that is not UTF-8".to_owned(), [&[0xdb, 0, 8, 0, 0][..], &vec![0xff; 512 << 10]].concat()));
    all.push(("half a mebibyte of text".to_owned(), [&[0xdb, 0, 8, 0, 0][..], &vec![b'a'; 512 << 10]].concat()));
    for (name, byte) in [("bytes", 0xff), ("bytes that are text", b'a')] {
        let bytes = [&[0xc6, 0, 8, 0, 0][..], &vec![byte; 512 << 10]].concat();
        all.push((format!("half a mebibyte of {name}"), bytes.clone()));
        all.push((format!("half a mebibyte of {name} as a name"), [&[0x81][..], &bytes, &[0xc0]].concat()));
    }
    all.push(("nothing".to_owned(), Vec::new()));
    all
}
