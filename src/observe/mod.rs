//! What is: the hosts' states and the clusters' own view of themselves.
