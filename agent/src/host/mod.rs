//! Observing and applying on the host itself. Only the agent runs this.
