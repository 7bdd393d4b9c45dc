//! From an inventory of bare VMs to a running, verified, highly available Wire-style backend.
//!
//! A run is one pass: [`site`] (what the operator wrote) → [`desired`] (made concrete) → [`observe`] (what is) →
//! [`plan`] (the difference, ordered, with reasons) → [`execute`] (doing it); [`flow`] ties them together and asks at the end whether everything is up.
//!
//! | room | what is inside | may |
//! |---|---|---|
//! | [`site`], [`services`], [`workloads`], [`desired`], [`observed`], [`plan`], [`templates`], [`lock`] | types and pure functions | nothing |
//! | [`transport`] | SSH, this machine, the agent's client end, HTTP from here | open connections |
//! | [`cluster`] | Kubernetes through its API | open connections |
//! | [`verify`] | trying a backend from outside, as its users | open connections |
//! | [`artifacts`] | store, recipes | run package managers, write the store |
//! | [`workspace`] | the operator's own files: site, inventory, secrets, runs | read and write them |
//! | [`report`] | everything a user sees | write to stdout and stderr |
//! | [`sandbox`] | throw-away hosts on this machine | start processes |
//! | [`observe`], [`execute`], [`flow`] | a run's stages | use the rooms above |
//! | [`cli`] | arguments and subcommands | everything, with no logic of its own |

pub mod artifacts;
pub mod cli;
pub mod cluster;
pub mod desired;
pub mod execute;
pub mod flow;
pub mod lock;
pub mod observe;
pub mod observed;
pub mod plan;
pub mod report;
pub mod sandbox;
pub mod services;
pub mod site;
pub mod templates;
pub mod transport;
pub mod verify;
pub mod workloads;
pub mod workspace;
