//! What services that run on Java have in common.

use super::Problem;

/// What is wrong with further arguments of Java. They are not shown: some hold passwords.
pub(super) fn check_options(options: &[String]) -> Option<Problem> {
    let (message, hint) = match options.iter().find(|option| is_wrong(option))? {
        heap if heap.starts_with("-Xm") => ("java_options sets the heap", "say `heap_megabytes` instead"),
        _ => (
            "java_options holds what is not one argument of Java",
            "each begins with `-` and has no space, as `-XX:TieredStopAtLevel=1`",
        ),
    };
    Some(Problem { message: message.to_owned(), hint: hint.to_owned() })
}

/// The heap has a setting of its own, and a line break would make two arguments of one.
fn is_wrong(option: &str) -> bool {
    !option.starts_with('-') || option.starts_with("-Xm") || option.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_told_from_what_is_none() {
        let wrong = |option: &str| check_options(&["-Xss1m".to_owned(), option.to_owned()]);
        assert_eq!(wrong("-XX:TieredStopAtLevel=1"), None);
        assert!(wrong("-Xmx4g").is_some_and(|problem| problem.hint.contains("heap_megabytes")));
        for option in ["", "XX", "-Da=b c", "-Da=b\n-Dc=d"] {
            assert!(wrong(option).is_some(), "{option:?}");
        }
    }
}
