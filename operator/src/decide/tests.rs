//! Tests of the heart, in virtual time.
