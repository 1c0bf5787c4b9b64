//! The management plane: acts, their HTTP face and the OpenAPI document.
