//! The templates: those embedded from `templates/`, and an operator's that replace them. Rendering is pure; undefined is an error.

use std::collections::BTreeMap;

use crate::site::problem::{Place, Problem, hint_for};

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// An operator's template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The file, as it is shown.
    pub file: String,
    /// What is in it.
    pub text: String,
}

/// The templates that an operator may replace: all but the page of a run's report, which is none of a site's.
pub fn replaceable() -> impl Iterator<Item = (&'static str, &'static str)> {
    EMBEDDED.iter().copied().filter(|(name, _)| !name.starts_with("report/"))
}

/// All templates, ready to render.
pub struct Templates {
    engine: tera::Tera,
    overrides: BTreeMap<String, Override>,
}

/// A template failed: where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {}: {}", .0.file, .0.message)]
pub struct TemplateError(pub Problem);

impl Templates {
    /// The embedded templates with `overrides` (by path below the folder) in their place.
    ///
    /// # Errors
    /// When an override does not parse, or replaces nothing.
    pub fn new(overrides: &BTreeMap<String, Override>) -> Result<Self, TemplateError> {
        let known = |name: &str| replaceable().any(|(known, _)| known == name);
        if let Some((name, replacing)) = overrides.iter().find(|(name, _)| !known(name)) {
            let names = replaceable().map(|(name, _)| name).collect::<Vec<_>>();
            let message = format!("{name} replaces no built-in template");
            return Err(TemplateError(Problem::of_file(&replacing.file, message, hint_for(name, "templates", names))));
        }
        let mut engine = tera::Tera::default();
        engine.autoescape_on(Vec::<&str>::new());
        engine.register_filter("json", json);
        let mut templates = Self { engine, overrides: overrides.clone() };
        let texts: Vec<_> = EMBEDDED.iter().map(|(name, _)| (*name, templates.text(name).to_owned())).collect();
        match templates.engine.add_raw_templates(texts) {
            Ok(()) => Ok(templates),
            Err(error) => Err(templates.error(overrides.keys().next().map_or("", String::as_str), &error)),
        }
    }

    /// Renders a template with the members of `values` as its variables.
    ///
    /// # Errors
    /// When there is no such template or it uses an undefined variable.
    pub fn render(&self, name: &str, values: &serde_json::Value) -> Result<String, TemplateError> {
        let context = tera::Context::from_serialize(values).map_err(|error| self.error(name, &error))?;
        self.engine.render(name, &context).map_err(|error| self.error(name, &error))
    }

    /// A template's file as errors name it: the operator's, or the built-in one.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.overrides.get(name).map_or_else(|| format!("templates/{name}"), |found| found.file.clone())
    }

    fn text(&self, name: &str) -> &str {
        let embedded = || EMBEDDED.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
        self.overrides.get(name).map_or_else(embedded, |replacing| replacing.text.as_str())
    }

    /// The engine's error in the form in which every other file's is shown. Where it tells no place, the template `name` is meant.
    fn error(&self, name: &str, error: &tera::Error) -> TemplateError {
        let report = match error.kind() {
            tera::ErrorKind::SyntaxError(report) | tera::ErrorKind::RenderingError(report) => report,
            _ => return TemplateError(Problem::of_file(&self.file(name), error.to_string(), Some(HINT.to_owned()))),
        };
        let span = report.span();
        let (message, hint) = in_words(report.message());
        let source = self.text(report.filename()).lines().nth(span.start_line.saturating_sub(1)).map(str::to_owned);
        let length = if span.end_line == span.start_line { span.end_col.saturating_sub(span.start_col) } else { 1 };
        let place = Place { line: span.start_line, column: span.start_col + 1, length: length.max(1) };
        TemplateError(
            Problem { source, ..Problem::of_file(&self.file(report.filename()), message, Some(hint)) }.at(place),
        )
    }
}

/// The filter `json`: a value as JSON in one line, which is YAML, too, whatever is in a text.
fn json(value: &tera::Value, _: tera::Kwargs, _: &tera::State) -> Result<String, tera::Error> {
    serde_json::to_string(value).map_err(|error| tera::Error::message(error.to_string()))
}

const HINT: &str = "`wire-deploy templates show` prints the built-in one, which works";

/// The engine's message as a sentence, and what to do about it.
fn in_words(message: &str) -> (String, String) {
    let undefined = |what: &str, separator: &str| {
        let (name, known) = message.split_once("` is not defined.")?;
        let name = name.strip_prefix(what)?.strip_prefix(" `")?;
        let known: Vec<&str> = known.split_once(separator).map(|(_, names)| names.split(", ").collect())?;
        Some((name, known))
    };
    let found = undefined("Variable", "variables: ").map(|found| ("variable", found));
    let found = found.or_else(|| undefined("Field", "fields: ").map(|found| ("field", found)));
    match found {
        Some((what, (name, mut known))) => {
            known.sort_unstable();
            let hint = hint_for(name, &format!("{what}s there"), known);
            (format!("undefined {what} `{name}`"), hint.unwrap_or_else(|| HINT.to_owned()))
        }
        None => (message.trim_end_matches('.').to_owned(), HINT.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    const NAME: &str = "hosts/redis/server.conf";

    fn replaced(name: &str, text: &str) -> Result<Templates, TemplateError> {
        let replacing = Override { file: format!("mine/{name}"), text: text.to_owned() };
        Templates::new(&BTreeMap::from([(name.to_owned(), replacing)]))
    }

    fn shown(result: Result<String, TemplateError>) -> String {
        result.unwrap_err().0.render()
    }

    #[test]
    fn what_is_undefined_is_told_with_its_place_and_what_there_is() {
        let values = json!({ "port": 1, "user": { "name": "a" } });
        let render = |text| shown(replaced(NAME, text).unwrap().render(NAME, &values));
        let text = render("port {{ port }}\n  bind {{ prot }}\n");
        let expected = "error: undefined variable `prot`\n --> mine/hosts/redis/server.conf:2:11\n  |\n2 |   bind {{ prot }}\n  |           ^^^^\n  = hint: did you mean `port`?\n";
        assert_eq!(text, expected);
        assert!(render("{{ banana }}").contains("variables there: `port`, `user`"));
        let text = render("{{ user.nam }}");
        assert!(text.contains("undefined field `nam`") && text.contains("did you mean `name`?"), "{text}");
        let text = render("{% if banana.peel %}{% endif %}");
        assert!(text.contains("server.conf:1:7"), "{text}");
    }

    #[test]
    fn what_does_not_parse_and_what_replaces_nothing_is_refused() {
        let text = shown(replaced(NAME, "port 1\n{% if %}").map(|_| String::new()));
        assert!(text.contains("mine/hosts/redis/server.conf:2:"), "{text}");
        let text = shown(replaced("report/report.html", "").map(|_| String::new()));
        assert!(text.contains("replaces no built-in template"), "{text}");
        let text = shown(replaced("hosts/redis/sever.conf", "").map(|_| String::new()));
        assert!(text.contains("did you mean `hosts/redis/server.conf`?"), "{text}");
    }
}
