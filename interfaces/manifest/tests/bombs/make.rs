//! The bombs: depth, aliases, size, keys twice, odd numbers, and the many ways to make a parser of YAML work for nothing.

use std::fmt::Write as _;

use mesh_manifest::MAX_BYTES;

const HEAD: &str = "apiVersion: mesh/v1\nkind: Application\nmetadata: { name: bomb }\n";
const ACTOR: &str = "spec:\n  actors:\n    - name: a\n      artifact: a.wasm\n";

/// Each with its name.
pub(crate) fn bombs() -> Vec<(String, Vec<u8>)> {
    let mut bombs = Vec::new();
    depth(&mut bombs);
    aliases(&mut bombs);
    size(&mut bombs);
    duplicates(&mut bombs);
    numbers(&mut bombs);
    texts(&mut bombs);
    bombs.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

type Bombs = Vec<(String, String)>;

fn add(bombs: &mut Bombs, name: impl Into<String>, rest: impl AsRef<str>) {
    bombs.push((name.into(), format!("{HEAD}{}", rest.as_ref())));
}

fn depth(bombs: &mut Bombs) {
    for depth in [33, 40, 64, 100, 255, 1_000, 10_000, 100_000, 500_000] {
        add(bombs, format!("flow lists {depth} deep"), format!("spec: {}", "[".repeat(depth)));
        add(bombs, format!("flow maps {depth} deep"), format!("spec: {}", "{a: ".repeat(depth.min(250_000))));
    }
    for depth in [33, 100, 500, 1_000] {
        let block: String = (0..depth).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "{}a:", " ".repeat(n));
            text
        });
        add(bombs, format!("block maps {depth} deep"), format!("spec:\n{block}"));
        add(bombs, format!("block lists {depth} deep"), format!("spec:\n  {}x", "- ".repeat(depth)));
    }
    add(bombs, "explicit keys 20000 deep", "? ".repeat(20_000));
    add(bombs, "closed lists 200 deep", format!("spec: {}{}", "[".repeat(200), "]".repeat(200)));
}

fn aliases(bombs: &mut Bombs) {
    for (levels, width) in [(4, 30), (6, 10), (9, 9), (10, 2), (20, 2), (30, 2), (3, 150), (16, 4)] {
        let mut text = String::from("x0: &x0 [ lol, lol, lol, lol, lol, lol, lol, lol ]\n");
        for level in 1..=levels {
            let inside = vec![format!("*x{}", level - 1); width].join(", ");
            let _ = writeln!(text, "x{level}: &x{level} [ {inside} ]");
        }
        // Where the expansion stays small the unknown fields refuse it.
        add(bombs, format!("{levels} levels of {width} aliases"), text);
    }
    for (name, long, times) in [("long", 200_000, 500), ("longer", 800_000, 20), ("short", 4_000, 512)] {
        let text = format!("a: &a {}\nb: [ {} ]\n", "x".repeat(long), vec!["*a"; times].join(", "));
        add(bombs, format!("{times} aliases of a {name} text"), text);
    }
    add(bombs, "an alias in its own list", "a: &a [ *a ]\n");
    add(bombs, "an alias in its own map", "a: &a { b: *a }\n");
    add(bombs, "two that contain each other", "a: &a [ &b [ *a, *b ] ]\n");
    add(
        bombs,
        "600 anchors",
        (0..600).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "k{n}: &a{n} v");
            text
        }),
    );
    add(bombs, "100000 anchors of one name", format!("a: [ {} ]\n", vec!["&a x"; 100_000].join(", ")));
    add(bombs, "100000 aliases", format!("a: &a x\nb: [ {} ]\n", vec!["*a"; 100_000].join(", ")));
    add(bombs, "100000 unknown aliases", format!("b: [ {} ]\n", vec!["*a"; 100_000].join(", ")));
    add(bombs, "merge keys", format!("a: &a {{ b: c }}\nd: {{ {} }}\n", vec!["<<: *a"; 1_000].join(", ")));
}

fn size(bombs: &mut Bombs) {
    bombs.push(("one byte too many".into(), "#".repeat(MAX_BYTES + 1)));
    bombs.push(("ten times too large".into(), "a: b\n".repeat(2 * MAX_BYTES)));
    bombs.push(("nothing but spaces".into(), " ".repeat(MAX_BYTES)));
    bombs.push(("nothing but lines".into(), "\n".repeat(MAX_BYTES)));
    bombs.push(("nothing but comments".into(), "#\n".repeat(MAX_BYTES / 2)));
    bombs.push(("nothing but documents".into(), "---\n".repeat(MAX_BYTES / 4)));
    bombs.push(("documents of one letter".into(), "a\n---\n".repeat(MAX_BYTES / 6)));
    bombs.push(("nothing but tabs".into(), "\t".repeat(MAX_BYTES)));
    bombs.push(("nothing but dashes".into(), "- ".repeat(MAX_BYTES / 2)));
    bombs.push(("nothing but dashes on lines".into(), "-\n".repeat(MAX_BYTES / 2)));
    bombs.push(("nothing but colons".into(), ": ".repeat(MAX_BYTES / 2)));
    bombs.push(("nothing but commas".into(), format!("[{}", ",".repeat(MAX_BYTES - 1))));
    bombs.push(("nothing but braces".into(), "{".repeat(MAX_BYTES)));
    bombs.push(("nothing but quotes".into(), "\"".repeat(MAX_BYTES)));
    bombs.push(("nothing but question marks".into(), "? ".repeat(MAX_BYTES / 2)));
    bombs.push(("one long key".into(), format!("{}: 1", "k".repeat(MAX_BYTES - 3))));
    bombs.push(("one long text".into(), "k".repeat(MAX_BYTES)));
    bombs.push(("one long quoted text".into(), format!("\"{}\"", "\\n".repeat(MAX_BYTES / 2 - 1))));
    bombs.push(("an open quoted text".into(), format!("a: \"{}", "x\n ".repeat(MAX_BYTES / 3 - 2))));
    bombs.push(("an open block".into(), format!("a: |\n{}", " x\n".repeat(MAX_BYTES / 3 - 3))));
    bombs.push(("many directives".into(), "%A b\n".repeat(MAX_BYTES / 5)));
    bombs.push(("one long directive".into(), format!("%{}", "A".repeat(MAX_BYTES - 1))));
    bombs.push(("one long tag".into(), format!("!{} a", "t".repeat(MAX_BYTES - 3))));
    bombs.push(("one long anchor".into(), format!("&{} a", "t".repeat(MAX_BYTES - 3))));
    for count in [20_001, 100_000, 250_000] {
        add(bombs, format!("a list of {count}"), format!("spec: [{}]", "a,".repeat(count)));
        add(bombs, format!("empty maps {count}"), format!("spec: [{}]", "{},".repeat(count)));
    }
    add(
        bombs,
        "150000 keys",
        (0..90_000).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "k{n}: v");
            text
        }),
    );
    add(
        bombs,
        "9000 unknown fields",
        (0..9_000).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "specc{n}: v");
            text
        }),
    );
    let actors = "    - { nmae: a, artefact: b, replica: 3, confg: {} }\n".repeat(2_000);
    add(bombs, "2000 actors with nothing right", format!("spec:\n  actors:\n{actors}"));
}

fn duplicates(bombs: &mut Bombs) {
    for count in [2, 10, 1_000, 9_000] {
        add(bombs, format!("{count} times one key"), format!("spec:\n{}", "  actors: []\n".repeat(count)));
        add(bombs, format!("{count} times one key, flow"), format!("spec: {{ {} }}", "actors: [], ".repeat(count)));
        let config = "k: v, ".repeat(count);
        add(
            bombs,
            format!("{count} times one key of a configuration"),
            format!("{ACTOR}      config: {{ {config} }}\n"),
        );
    }
    add(bombs, "a quoted key and its plain twin", format!("{ACTOR}      replicas: 1\n      \"replicas\": 2\n"));
    add(bombs, "an escaped key and its plain twin", format!("{ACTOR}      replicas: 1\n      \"replic\\u0061s\": 2\n"));
    bombs.push(("a name in two versions".into(), format!("{HEAD}{HEAD}{ACTOR}")));
}

fn numbers(bombs: &mut Bombs) {
    for odd in [
        "1e3",
        "1E3",
        "1e-1",
        "1e999999999",
        "0x10",
        "0o10",
        "0b11",
        "010",
        "00",
        "+1",
        "-0",
        "-1",
        "1.0",
        "1.",
        ".5",
        ".inf",
        "-.inf",
        "+.INF",
        ".nan",
        ".NaN",
        "1_000",
        "1,000",
        "1:30",
        "190:20:30",
        "999999999999",
        "18446744073709551616",
        "-9223372036854775809",
        "١",
        "１",
        "½",
        "1 ",
        "\"1\"",
        "'1'",
        "true",
        "null",
        "~",
        "2001-12-14",
        "=",
        "1m",
        "1%",
        "[1]",
        "{}",
    ] {
        if odd != "1 " {
            add(bombs, format!("replicas of {odd}"), format!("{ACTOR}      replicas: {odd}\n"));
        }
        if matches!(odd, "1e3" | "0x10" | ".inf" | ".nan" | "-1" | "1.0" | "1_000" | "null") {
            add(bombs, format!("memory of {odd}"), format!("{ACTOR}      limits: {{ memory: {odd} }}\n"));
            add(bombs, format!("time of {odd}"), format!("{ACTOR}      limits: {{ time: {odd} }}\n"));
        }
    }
    let digits = "9".repeat(500_000);
    add(bombs, "replicas of half a million digits", format!("{ACTOR}      replicas: {digits}\n"));
    add(bombs, "memory of half a million digits", format!("{ACTOR}      limits: {{ memory: {digits}KiB }}\n"));
}

fn texts(bombs: &mut Bombs) {
    add(bombs, "a long name", format!("spec: {{ actors: [ {{ name: {}, artifact: a }} ] }}", "n".repeat(900_000)));
    add(bombs, "a long value", format!("{ACTOR}      config: {{ a: {} }}\n", "v".repeat(900_000)));
    add(bombs, "a value of NUL", format!("{ACTOR}      config: {{ a: \"\0\", b: [ ] }}\n"));
    add(bombs, "a key of NUL", format!("{ACTOR}      config: {{ \"\\0\": b }}\n"));
    add(bombs, "a byte order mark within", format!("{ACTOR}\u{feff}      replicas: 1e3\n"));
    add(bombs, "lines that turn around", format!("{ACTOR}      repl\u{202e}icas: 1\n"));
    add(bombs, "100000 fills", format!("{ACTOR}      config: {{ a: \"{}\" }}\n", "${a}".repeat(100_000)));
    add(bombs, "fills that grow", format!("{ACTOR}      config: {{ a: \"{}\" }}\n", "${a:-b".repeat(100_000)));
    add(bombs, "a fill without an end", format!("{ACTOR}      config: {{ a: \"${{{}\" }}\n", "a".repeat(800_000)));
    let link = "{ to: b, interfaces: [ nope ] }, ".repeat(3_000);
    add(bombs, "3000 links to nothing", format!("{ACTOR}      links: [ {link} ]\n"));
}
