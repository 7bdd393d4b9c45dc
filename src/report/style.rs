//! Colours, and fitting text into a width. Texts are painted always; the streams drop the colours where they are not wanted.

use anstyle::{AnsiColor, Style};

/// Something is as it should be, or is made.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something failed, or goes away.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Something changes, or deserves a look.
pub const CAUTION: Style = AnsiColor::Yellow.on_default();
/// A name that structures what follows.
pub const HEADING: Style = Style::new().bold();
/// A hint, a hunk's position.
pub const ASIDE: Style = AnsiColor::Cyan.on_default();
/// What is only there for completeness.
pub const FAINT: Style = Style::new().dimmed();

/// Where colours are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colors {
    /// On a terminal, unless `NO_COLOR`, `CLICOLOR` or `TERM` say otherwise.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// Decides for the whole program.
pub fn choose_colors(colors: Colors) {
    match colors {
        Colors::Auto => anstream::ColorChoice::Auto,
        Colors::Always => anstream::ColorChoice::Always,
        Colors::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// `text` in a style. Each line is painted on its own, so that a pager shows them right.
#[must_use]
pub fn paint(style: Style, text: &str) -> String {
    let painted =
        text.split('\n').map(|line| if line.is_empty() { String::new() } else { format!("{style}{line}{style:#}") });
    painted.collect::<Vec<_>>().join("\n")
}

/// Makes a text that comes from a host harmless to a terminal: control characters but tabs and line ends become `?`.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() && !matches!(character, '\t' | '\n') { '?' } else { character })
        .collect()
}

/// `text` cut to `width` characters, with `…` where something is missing.
#[must_use]
pub fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `text` broken between words so that no line is longer than `width` characters, unless a word is; each line begins with `indent`.
#[must_use]
pub fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = vec![indent.to_owned()];
    let mut length = indent.chars().count();
    let mut empty = true;
    for word in text.split_whitespace() {
        let needed = word.chars().count() + usize::from(!empty);
        if !empty && length + needed > width {
            lines.push(indent.to_owned());
            length = indent.chars().count();
            empty = true;
        }
        if let Some(line) = lines.last_mut() {
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            length += word.chars().count() + usize::from(!empty);
            empty = false;
        }
    }
    lines.join("\n")
}

/// Milliseconds as people say them: `85 ms`, `3.2 s`, `2 min 5 s`.
#[must_use]
pub fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

/// `1 host`, `3 hosts`.
#[must_use]
pub fn count(number: usize, singular: &str) -> String {
    if number == 1 { format!("1 {singular}") } else { format!("{number} {singular}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        let said: Vec<_> = [85, 3_249, 125_000].into_iter().map(duration).collect();
        assert_eq!(said, ["85 ms", "3.2 s", "2 min 5 s"]);
    }

    #[test]
    fn words_wrap_within_the_width() {
        assert_eq!(wrap("one two three fourteen", 9, "  "), "  one two\n  three\n  fourteen");
    }

    #[test]
    fn control_characters_from_a_host_do_nothing_to_a_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\tc\r"), "a?[2Jb\tc?");
    }

    #[test]
    fn every_line_is_painted_on_its_own() {
        assert_eq!(paint(BAD, "a\n\nb"), "\u{1b}[31ma\u{1b}[0m\n\n\u{1b}[31mb\u{1b}[0m");
    }
}
