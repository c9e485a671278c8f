//! The whole operator against everything that can go wrong, in virtual time.

mod calm;
