//! The templates: those embedded from `templates/`, and an operator's that replace them. Rendering is pure; undefined is an error.

use std::collections::BTreeMap;

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// All templates, ready to render.
pub struct Templates {
    engine: tera::Tera,
}

/// A template failed.
#[derive(Debug, thiserror::Error)]
#[error("template {name}: {reason}")]
pub struct TemplateError {
    /// Its path below `templates/`.
    pub name: String,
    /// Why, with line and column where the engine knows them.
    pub reason: String,
}

impl Templates {
    /// The embedded templates with `overrides` (path below the folder, text) in their place.
    ///
    /// # Errors
    /// When an override does not parse, or replaces nothing.
    pub fn new(overrides: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let mut engine = tera::Tera::default();
        engine.autoescape_on(Vec::<&str>::new());
        let texts = EMBEDDED.iter().map(|(name, text)| (*name, overrides.get(*name).map_or(*text, String::as_str)));
        engine.add_raw_templates(texts.collect::<Vec<_>>()).map_err(|error| TemplateError {
            name: overrides.keys().cloned().collect::<Vec<_>>().join(", "),
            reason: error.to_string(),
        })?;
        if let Some(name) = overrides.keys().find(|name| !EMBEDDED.iter().any(|(known, _)| known == name)) {
            return Err(TemplateError {
                name: name.clone(),
                reason: "replaces no built-in template; `wire-deploy templates` lists them".to_owned(),
            });
        }
        Ok(Self { engine })
    }

    /// Renders a template with the members of `values` as its variables.
    ///
    /// # Errors
    /// When there is no such template or it uses an undefined variable.
    pub fn render(&self, name: &str, values: &serde_json::Value) -> Result<String, TemplateError> {
        let failed = |error: &dyn std::error::Error| TemplateError { name: name.to_owned(), reason: error.to_string() };
        let context = tera::Context::from_serialize(values).map_err(|error| failed(&error))?;
        self.engine.render(name, &context).map_err(|error| failed(&error))
    }
}
