//! Reports about lists of each kind.

use std::fs;

use super::*;

fn report(text: &str) -> Report {
    check_text("f", text.as_bytes(), None)
}

fn said(report: &Report) -> Vec<(Option<u64>, &str)> {
    let mistakes = report.mistakes.iter();
    mistakes.map(|it| (it.line, it.text.as_str())).collect()
}

#[test]
fn each_kind_is_recognized_and_counted() {
    let torrents = format!(
        "# ours\n{0}\n{0} # again\n{1}\n",
        "1".repeat(40),
        "2".repeat(64)
    );
    let torrents = report(&torrents);
    assert_eq!(torrents.kind, Some(ListKind::Torrents));
    assert_eq!((torrents.entries, torrents.duplicates), (3, 1));
    assert!(torrents.memory_bytes >= 40);

    let bans = report("; DROP\n10.0.0.0/8\n10.0.0.0/8\n10.1.0.0/16\n1.2.3.4-1.2.3.9,200,x\n::1\n");
    assert_eq!(bans.kind, Some(ListKind::Bans));
    assert_eq!((bans.entries, bans.duplicates), (4, 1));
    assert_eq!(
        (bans.merged_ranges, bans.allowed_ranges),
        (Some(2), Some(1))
    );

    let clients = report("# who\n-XL too greedy\n-XL0012-\n-XL again\n");
    assert_eq!(clients.kind, Some(ListKind::Clients));
    assert_eq!((clients.entries, clients.duplicates), (3, 1));
    assert!(clients.mistakes.is_empty());

    for empty in ["", "\n\n", "# nothing\n; nothing\n// nothing\n"] {
        let report = report(empty);
        assert_eq!((report.kind, report.entries), (None, 0), "{empty:?}");
        assert_eq!(said(&report), [], "{empty:?}");
    }
}

#[test]
fn a_list_of_mistakes_is_recognized_all_the_same() {
    for line in [
        "10.0.0.0/33",
        "10.0.0.256",
        "10.0.0/24",
        "10.0.0.9-10.0.0.1",
        "Some name:10.0.0.1-10.0.0.999",
        "000.000.000.256 - 000.000.001.000 , 100 , x",
        "2001:db8::/129",
        "::1::",
    ] {
        let report = report(line);
        assert_eq!(report.kind, Some(ListKind::Bans), "{line}");
        assert_eq!((report.entries, report.mistakes.len()), (0, 1), "{line}");
    }
    let torrents = report(&"1".repeat(39));
    assert_eq!(torrents.kind, Some(ListKind::Torrents));
    assert_eq!(torrents.mistakes.len(), 1);
    for line in [
        "-UT355W-",
        "M7-9-2--",
        "-XL see http://10.0.0.1/",
        "1.2",
        "%00%01",
    ] {
        let report = report(line);
        assert_eq!(report.kind, Some(ListKind::Clients), "{line}");
        assert_eq!(said(&report), [], "{line}");
    }
}

#[test]
fn a_kind_that_is_given_is_not_guessed() {
    let report = check_text("f", &b"-XL0012-\n10.0.0.0/8\n"[..], Some(ListKind::Bans));
    assert_eq!((report.kind, report.entries), (Some(ListKind::Bans), 1));
    assert_eq!(report.mistakes.len(), 1);
    let report = check_text("f", &b"10.0.0.0/8\n"[..], Some(ListKind::Clients));
    assert_eq!((report.kind, report.entries), (Some(ListKind::Clients), 1));
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let bans = report("10.0.0.0/8\n\nx\n10.0.0.1/8\n10.2.0.0/16\n");
    assert_eq!(bans.kind, Some(ListKind::Bans));
    let lines: Vec<_> = said(&bans).iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [Some(3), Some(4)]);
    let text = bans.text();
    assert!(
        text.starts_with("f: bans: 2 entries, 1 range after merging; "),
        "{text}"
    );
    assert!(text.contains("\nf: line 3: expected an address"), "{text}");

    // Far behind the lines by which it is recognized, and more than are told.
    let entry = "1".repeat(40) + "\n";
    let torrents = report(&(entry.repeat(5_000) + &"x\n".repeat(MAX_MISTAKES + 7) + &entry));
    assert_eq!(
        (torrents.entries, torrents.mistakes.len()),
        (5_001, MAX_MISTAKES)
    );
    assert_eq!(said(&torrents)[0].0, Some(5_001));
    assert!(torrents.text().ends_with("f: and 7 more mistakes\n"));

    let long = report(&format!("10.0.0.0/8\n{}\nx\n", "y".repeat(5_000)));
    assert_eq!(long.entries, 1);
    let [(Some(2), text)] = said(&long)[..] else {
        panic!("{long:?}");
    };
    assert!(
        text.contains("longer than 4096 bytes") && text.contains("not checked"),
        "{text}"
    );
    let binary = check_text("f", &b"\x1f\x8b\x08\0"[..], None);
    assert!(said(&binary)[0].1.contains("gzip"), "{binary:?}");
    let garbage = report("\u{1}\u{2}\n\u{3}\n");
    assert_eq!((garbage.kind, garbage.mistakes.len()), (None, 2));
}

#[test]
fn entries_after_many_comments_are_recognized() {
    let text = "# a comment\n".repeat(3 * LINES_TO_RECOGNIZE) + "10.0.0.0/8\nx\n";
    let report = report(&text);
    assert_eq!((report.kind, report.entries), (Some(ListKind::Bans), 1));
    let line = 3 * LINES_TO_RECOGNIZE as u64 + 2;
    assert_eq!(said(&report)[0].0, Some(line));
}

#[test]
fn directories_are_all_of_their_files() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("a", "10.0.0.0/8\n"), ("b", "-XL\n"), (".c", "x")] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let mut reports = Vec::new();
    check_path(directory.path(), None, &mut reports);
    let kinds: Vec<_> = reports.iter().map(|report| report.kind).collect();
    assert_eq!(kinds, [Some(ListKind::Bans), Some(ListKind::Clients)]);
    reports.clear();
    check_path(&directory.path().join("d"), None, &mut reports);
    assert!(
        reports[0]
            .text()
            .contains("d: cannot read it: No such file"),
        "{reports:?}"
    );
}

#[test]
fn json_has_stable_keys() {
    let reports = [report("10.0.0.0/8\nx\n")];
    let json: serde_json::Value = serde_json::to_value(All { lists: &reports }).unwrap();
    let one = &json["lists"][0];
    assert_eq!(one["file"], "f");
    assert_eq!(one["kind"], "bans");
    assert_eq!(one["entries"], 1);
    assert_eq!(one["duplicates"], 0);
    assert_eq!(one["merged_ranges"], 1);
    assert_eq!(one["allowed_ranges"], 0);
    assert!(one["memory_bytes"].as_u64().unwrap() > 8);
    assert_eq!(one["mistakes"][0]["line"], 2);
    assert!(one["mistakes"][0]["text"].is_string());
    assert_eq!(one["more_mistakes"], 0);
}
