//! Names as types of their own, so that a host is never taken for a group.

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A host of the inventory.
    HostName
}
name! {
    /// A group of hosts. A service is installed on the group of its name.
    GroupName
}
name! {
    /// A service: its folder in `src/services/`, its key in the site file, its group in the inventory.
    ServiceName
}
name! {
    /// A workload: its key in the site file, its folder in `templates/kube/`.
    WorkloadName
}
