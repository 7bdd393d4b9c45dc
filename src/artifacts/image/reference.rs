//! Where an image is in a registry: `HOST[:PORT]/REPOSITORY[:TAG]`.

/// Where an image is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host, with a port if it has one of its own.
    pub registry: String,
    /// Path of the repository there.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

impl Reference {
    /// Reads a reference; without a tag it gets `tag`. The host is always named: no registry is meant silently.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str, tag: &str) -> Result<Self, String> {
        let wrong = || format!("expected HOST[:PORT]/REPOSITORY[:TAG], found {text:?}");
        let (registry, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (repository, tag) = rest.split_once(':').unwrap_or((rest, tag));
        let is_host = registry.contains(['.', ':']) || registry == "localhost";
        let part = |part: &str| {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            part.bytes().next().is_some_and(fits) && part.bytes().all(|byte| fits(byte) || b"._-".contains(&byte))
        };
        let is_tag = tag.len() <= 128
            && tag.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_host || registry.contains(['@', '?', '#']) || !repository.split('/').all(part) || !is_tag {
            return Err(wrong());
        }
        Ok(Self { registry: registry.to_owned(), repository: repository.to_owned(), tag: tag.to_owned() })
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn references_have_a_host_and_get_a_tag() {
        let read = |text| Reference::parse(text, "1.0").map(|reference| reference.to_string());
        assert_eq!(read("localhost/a").unwrap(), "localhost/a:1.0");
        assert_eq!(read("127.0.0.1:5000/wire/nginx:2").unwrap(), "127.0.0.1:5000/wire/nginx:2");
        assert_eq!(read("registry.example/a/b-c/d").unwrap(), "registry.example/a/b-c/d:1.0");
        for text in
            ["nginx", "wire/nginx", "a.example/", "a.example/A", "a.example/a:b c", "u@a.example/a", "a.example/../a"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
