//! Reads filters by recursive descent. Every descent counts against [`MAX_DEPTH`], so the stack is bounded.

use super::super::path::{AttrPath, PathError};
use super::super::schema::{Kind, ResourceType};
use super::super::text::{excerpt, parse_time};
use super::{Comparison, Filter, FilterError, Literal, MAX_DEPTH, MAX_LENGTH, MAX_TERMS, Operator};

pub(super) fn resource(text: &str, kind: &'static ResourceType) -> Result<Filter, FilterError> {
    whole(text, Scope::Resource(kind))
}

pub(super) fn values(text: &str, list: AttrPath) -> Result<Filter, FilterError> {
    whole(text, Scope::Values(list))
}

fn whole(text: &str, scope: Scope) -> Result<Filter, FilterError> {
    if text.len() > MAX_LENGTH {
        return Err(FilterError::TooLong);
    }
    let mut parser = Parser { text, at: 0, terms: 0 };
    let filter = parser.or(scope, 0)?;
    parser.spaces();
    if parser.rest().is_empty() { Ok(filter) } else { Err(parser.expected("`and`, `or` or the end")) }
}

/// Whose attributes names refer to.
#[derive(Clone, Copy)]
enum Scope {
    Resource(&'static ResourceType),
    Values(AttrPath),
}

impl Scope {
    fn path(self, name: &str) -> Result<AttrPath, FilterError> {
        match self {
            Self::Resource(kind) => AttrPath::parse(name, kind).map_err(|error| match error {
                PathError::Filter(error) => error,
                PathError::TooLong
                | PathError::Malformed(_)
                | PathError::UnknownSchema(_)
                | PathError::Unknown(_)
                | PathError::NotAList(_) => FilterError::Unknown(excerpt(name)),
            }),
            Self::Values(list) => match list.attribute.sub(name) {
                Some(sub) => Ok(AttrPath { sub: Some(sub), ..list }),
                None => Err(FilterError::Unknown(excerpt(name))),
            },
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    terms: usize,
}

impl<'t> Parser<'t> {
    fn or(&mut self, scope: Scope, depth: usize) -> Result<Filter, FilterError> {
        let first = self.and(scope, depth)?;
        let mut all = vec![first];
        while self.keyword("or") {
            all.push(self.and(scope, depth)?);
        }
        Ok(one_or(all, Filter::Or))
    }

    fn and(&mut self, scope: Scope, depth: usize) -> Result<Filter, FilterError> {
        let first = self.term(scope, depth)?;
        let mut all = vec![first];
        while self.keyword("and") {
            all.push(self.term(scope, depth)?);
        }
        Ok(one_or(all, Filter::And))
    }

    fn term(&mut self, scope: Scope, depth: usize) -> Result<Filter, FilterError> {
        self.spaces();
        if depth > MAX_DEPTH {
            return Err(FilterError::TooDeep);
        }
        if self.symbol('(') {
            return self.closed(scope, depth, ')', "`)`");
        }
        if self.keyword("not") {
            self.spaces();
            if !self.symbol('(') {
                return Err(self.expected("`(` after `not`"));
            }
            return Ok(Filter::Not(Box::new(self.closed(scope, depth, ')', "`)`")?)));
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(FilterError::TooManyTerms);
        }
        let name = self.word();
        if name.is_empty() {
            return Err(self.expected("the name of an attribute, `not` or `(`"));
        }
        let path = scope.path(name)?;
        if self.symbol('[') { self.bracket(path, depth) } else { self.comparison(path) }
    }

    /// What stands in parentheses or brackets, the first of which is read.
    fn closed(
        &mut self,
        scope: Scope,
        depth: usize,
        end: char,
        expected: &'static str,
    ) -> Result<Filter, FilterError> {
        let inner = self.or(scope, depth + 1)?;
        self.spaces();
        if self.symbol(end) { Ok(inner) } else { Err(self.expected(expected)) }
    }

    /// `emails[…]`, of which the first bracket is read.
    ///
    /// Entra also asks for `emails[type eq "work"].value eq "x"`, which means one more condition within the brackets.
    fn bracket(&mut self, list: AttrPath, depth: usize) -> Result<Filter, FilterError> {
        let attribute = list.attribute;
        if list.sub.is_some() || !attribute.multi_valued || attribute.kind != Kind::Complex {
            return Err(FilterError::NotAList(list.to_string()));
        }
        let scope = Scope::Values(list);
        let mut filter = self.closed(scope, depth, ']', "`]`")?;
        if self.symbol('.') {
            let name = self.word();
            let path = scope.path(name)?;
            let last = self.comparison(path)?;
            filter = match filter {
                Filter::And(mut all) => {
                    all.push(last);
                    Filter::And(all)
                }
                Filter::Or(_)
                | Filter::Not(_)
                | Filter::Compare(_)
                | Filter::Present(_)
                | Filter::Value { .. } => Filter::And(vec![filter, last]),
            };
        }
        Ok(Filter::Value { list, filter: Box::new(filter) })
    }

    /// What follows the name of an attribute: `pr`, or an operator and a value.
    fn comparison(&mut self, mut path: AttrPath) -> Result<Filter, FilterError> {
        self.spaces();
        let at = self.at;
        let word = self.word();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let Some(operator) = Operator::ALL.into_iter().find(|o| word.eq_ignore_ascii_case(o.as_str())) else {
            self.at = at;
            return Err(self.expected("one of `eq`, `ne`, `co`, `sw`, `ew`, `pr`, `gt`, `ge`, `lt`, `le`"));
        };
        self.spaces();
        let given = self.value()?;
        // An object is compared by its `value` (RFC 7643, section 2.4).
        if path.sub.is_none() && path.attribute.kind == Kind::Complex {
            path.sub = path.attribute.sub("value");
        }
        let literal = typed(&path, operator, given)?;
        Ok(Filter::Compare(Comparison { path, operator, literal }))
    }

    fn value(&mut self) -> Result<Given, FilterError> {
        if self.rest().starts_with('"') {
            return self.string().map(Given::Text);
        }
        let at = self.at;
        match self.word() {
            word if word.eq_ignore_ascii_case("true") => Ok(Given::Boolean(true)),
            word if word.eq_ignore_ascii_case("false") => Ok(Given::Boolean(false)),
            word if word.eq_ignore_ascii_case("null") => Ok(Given::Null),
            word if serde_json::from_str::<serde_json::Number>(word).is_ok() => Ok(Given::Number),
            _ => {
                self.at = at;
                Err(self.expected("a text in double quotes, `true`, `false`, `null` or a number"))
            }
        }
    }

    /// A text in double quotes, with the escapes of JSON.
    fn string(&mut self) -> Result<String, FilterError> {
        let mut escaped = false;
        let end = self.rest().bytes().skip(1).position(|byte| match byte {
            _ if escaped => {
                escaped = false;
                false
            }
            b'\\' => {
                escaped = true;
                false
            }
            byte => byte == b'"',
        });
        // `end` counts from after the opening quote and stops before the closing one.
        let quoted = end.and_then(|end| self.rest().get(..end + 2));
        let text = quoted.and_then(|quoted| Some((serde_json::from_str(quoted).ok()?, quoted.len())));
        let Some((text, len)) = text else {
            return Err(self.expected("a text in double quotes, as in JSON"));
        };
        self.at += len;
        Ok(text)
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = self.rest().starts_with(symbol);
        self.at += usize::from(found);
        found
    }

    /// A run of characters up to a space, a quote or a bracket of either kind.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find([' ', '(', ')', '[', ']', '"']).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Reads a keyword, or nothing.
    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.at;
        self.spaces();
        let found = self.word().eq_ignore_ascii_case(keyword);
        if !found {
            self.at = before;
        }
        found
    }

    fn expected(&self, expected: &'static str) -> FilterError {
        FilterError::Malformed { at: self.at, expected }
    }
}

fn one_or(mut all: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            many(all)
        }
        None => many(all),
    }
}

/// A value before it is known what it is compared with.
enum Given {
    Text(String),
    Boolean(bool),
    Number,
    Null,
}

/// The value as one of the attribute's type.
fn typed(path: &AttrPath, operator: Operator, given: Given) -> Result<Literal, FilterError> {
    let equality = matches!(operator, Operator::Eq | Operator::Ne);
    let partial = matches!(operator, Operator::Co | Operator::Sw | Operator::Ew);
    let kind = path.leaf().kind;
    let literal = match (kind, given) {
        (Kind::Complex, _)
        | (_, Given::Number)
        | (Kind::Text | Kind::Reference | Kind::DateTime, Given::Boolean(_)) => None,
        (_, Given::Null) => equality.then_some(Literal::Null),
        (Kind::Text | Kind::Reference, Given::Text(text)) => Some(Literal::Text(text)),
        (Kind::Boolean, Given::Boolean(value)) => equality.then_some(Literal::Boolean(value)),
        // Entra writes booleans as texts: `roles[primary eq "True"]`.
        (Kind::Boolean, Given::Text(text)) => boolean(&text).filter(|_| equality).map(Literal::Boolean),
        (Kind::DateTime, Given::Text(text)) => parse_time(&text).filter(|_| !partial).map(Literal::Time),
    };
    literal.ok_or_else(|| FilterError::Incomparable {
        path: path.to_string(),
        operator: operator.as_str(),
        holds: match kind {
            Kind::Text => "text",
            Kind::Boolean => "`true` or `false`, which are only equal or not",
            Kind::DateTime => "a time such as \"2026-11-22T23:37:08Z\", which contains nothing",
            Kind::Reference => "an address, which is text",
            Kind::Complex => "an object: compare one of its attributes",
        },
    })
}

/// `true` or `false` in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find_map(|(name, value)| text.eq_ignore_ascii_case(name).then_some(value))
}
