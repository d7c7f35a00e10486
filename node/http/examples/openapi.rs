//! Writes the OpenAPI document of the admin API to standard output.

fn main() {
    print!("{}", posthouse_http::openapi());
}
