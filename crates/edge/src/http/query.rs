//! The query of an address: names and values, percent-encoded, each name once.

use super::problem::Problem;

/// Parameters of one query: more than any route takes.
const PARAMETERS_MAX: usize = 16;

/// The names and values, decoded.
pub fn pairs(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let wrong = || Problem::invalid("The query of the address cannot be read.");
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let (name, value) = (decode(name).ok_or_else(wrong)?, decode(value).ok_or_else(wrong)?);
        if pairs.len() == PARAMETERS_MAX || pairs.iter().any(|(known, _)| *known == name) {
            return Err(wrong());
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read() {
        let read = |query: &str| pairs(Some(query)).map_err(|problem| problem.code().as_str());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("a=1&b=x%20y+%C3%A9&"), Ok(vec![pair("a", "1"), pair("b", "x y é")]));
        assert_eq!(pairs(None).map_err(|_| ()), Ok(Vec::new()));
        for wrong in ["a", "a=%", "a=%4", "a=%zz", "a=%ff", "a=1&a=2", &"a=1&".repeat(99)] {
            assert_eq!(read(wrong), Err("invalid_argument"), "{wrong}");
        }
    }
}
