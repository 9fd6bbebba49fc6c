//! Mistakes that people make when they edit a configuration.

/// How many files with mistakes are tried.
const ROUNDS: usize = 3_000;

/// Has `check` look at these files with a few mistakes in each, always the same ones.
///
/// # Panics
/// As `check` does.
pub fn try_mistakes(files: &[&str], check: fn(&[u8])) {
    // A linear congruential generator (Knuth, MMIX).
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below.max(1)
    };
    for file in files.iter().cycle().take(ROUNDS) {
        check(edited(file, &mut random).as_bytes());
    }
}

/// A file with some edits, as people make them by mistake: `random` numbers choose.
fn edited(text: &str, random: &mut impl FnMut(usize) -> usize) -> String {
    const VALUES: [&str; 14] = [
        "-1",
        "0",
        "99999999999999999999",
        "1.5",
        "yes",
        "127.0.0.1:3000",
        "[::]:3000",
        "\"\"",
        "\"127.0.0.1:3000\"",
        "[\"0.0.0.0:443\", \"127.0.0.1:443\"]",
        "[",
        "\"\"\"",
        "{ a = 1 }",
        "2026-01-01",
    ];
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(str::to_owned)
        .collect();
    for _ in 0..=random(3) {
        let at = random(lines.len());
        let line = lines[at].clone();
        match random(9) {
            0 => lines[at] = line.replace(['"', '\''], ""),
            1 => lines[at] = line.replacen('"', "", 1),
            2 => {
                let other = random(lines.len());
                lines.insert(other, line);
            }
            3 => drop(lines.remove(at)),
            4 => lines.truncate(at + 1),
            5 => {
                // In the middle of a line, too.
                let end = line.char_indices().nth(random(line.len() + 1));
                lines[at].truncate(end.map_or(line.len(), |(index, _)| index));
            }
            6 => {
                let other = random(lines.len());
                lines.swap(at, other);
            }
            _ => {
                if let Some((key, _)) = line.split_once('=') {
                    lines[at] = format!("{key}= {}", VALUES[random(VALUES.len())]);
                }
            }
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.join("\n")
}
