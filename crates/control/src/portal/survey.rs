//! The page of a survey: whoever opens the link answers once, without signing in and without script.

use std::fmt::Write as _;

use axum::body::Bytes;
use axum::http::{Method, Response, header};
use gatehouse_domain::audit::{Actor, ActorKind, Object};
use gatehouse_domain::feedback::{Answer, MAX_COMMENT};
use gatehouse_domain::id::SurveyId;
use gatehouse_identity::fetch::Fetch;

use super::Portal;
use super::form::Cookie;
use super::page::{Own, Shown, escaped};
use super::reply::{Tone, note};
use super::request::{Asked, Form};
use super::settings::{PublicUrl, Rules};
use super::text::Language;
use super::throttle::network;
use crate::act::Caller;
use crate::feedback::{fresh_id, link, survey_of};

/// The path of the page and of its form.
const PATH: &str = "/feedback";

/// The texts of a language.
struct Texts {
    heading: &'static str,
    intro: &'static str,
    score: &'static str,
    worst: &'static str,
    best: &'static str,
    nps: &'static str,
    comment: &'static str,
    named: &'static str,
    send: &'static str,
    thanks: &'static str,
    thanks_more: &'static str,
    over: &'static str,
    over_more: &'static str,
    missing: &'static str,
}

const ENGLISH: Texts = Texts {
    heading: "How satisfied are you?",
    intro: "Nobody sees your name unless you say so, and nobody sees single answers before there are five.",
    score: "How satisfied are you with the coding assistant?",
    worst: "not at all",
    best: "very",
    nps: "How likely would you recommend it to a colleague, from 0 to 10? (optional)",
    comment: "What works, and what does not? (optional)",
    named: "My name may be shown with this",
    send: "Send",
    thanks: "Thank you.",
    thanks_more: "Your answer has arrived. This page may be closed.",
    over: "This link does not work any more.",
    over_more: "It was used, or has run out. Ask for another one.",
    missing: "Choose how satisfied you are, from 1 to 5.",
};

const SIMPLIFIED: Texts = Texts {
    heading: "您的满意度如何？",
    intro: "除非您同意，否则没有人会看到您的姓名；答复不足五份时，没有人会看到单份答复。",
    score: "您对编程助手的满意度如何？",
    worst: "很不满意",
    best: "非常满意",
    nps: "您向同事推荐它的可能性有多大（0 到 10）？（选填）",
    comment: "哪些地方好用，哪些不好用？（选填）",
    named: "可以显示我的姓名",
    send: "提交",
    thanks: "谢谢。",
    thanks_more: "您的答复已收到。可以关闭此页面。",
    over: "此链接已失效。",
    over_more: "它已被使用或已过期。请索取新的链接。",
    missing: "请选择 1 到 5 的满意度。",
};

const TRADITIONAL: Texts = Texts {
    heading: "您的滿意度如何？",
    intro: "除非您同意，否則沒有人會看到您的姓名；答覆不足五份時，沒有人會看到單份答覆。",
    score: "您對程式設計助手的滿意度如何？",
    worst: "很不滿意",
    best: "非常滿意",
    nps: "您向同事推薦它的可能性有多大（0 到 10）？（選填）",
    comment: "哪些地方好用，哪些不好用？（選填）",
    named: "可以顯示我的姓名",
    send: "送出",
    thanks: "謝謝。",
    thanks_more: "您的答覆已收到。可以關閉此頁面。",
    over: "此連結已失效。",
    over_more: "它已被使用或已過期。請索取新的連結。",
    missing: "請選擇 1 到 5 的滿意度。",
};

const fn texts(language: Language) -> &'static Texts {
    match language {
        Language::English => &ENGLISH,
        Language::Simplified => &SIMPLIFIED,
        Language::Traditional => &TRADITIONAL,
    }
}

impl<F: Fetch> Portal<F> {
    /// Shows a survey, or takes its answer. To look at it does nothing: mail programs look at links too.
    pub(super) async fn survey(&self, rules: &Rules, url: &PublicUrl, asked: &Asked) -> Response<Bytes> {
        let sends = asked.method == Method::POST;
        let form = if sends { asked.form().unwrap_or_default() } else { asked.fields() };
        let language = Language::of(url, asked, &form);
        let t = texts(language);
        let end = |said, more, tone| {
            let body = |_: &str| format!("<p>{said}</p><p>{more}</p>");
            let own = Own { heading: t.heading, body: &body, elsewhere: None };
            self.page(rules, url, asked, language, &Shown::Own(&own), tone)
        };
        let over = || end(t.over, t.over_more, Tone::Refused);
        if self.throttles.codes.take(&network(asked.peer), self.app.now()).is_err() {
            let told = language.texts().too_many;
            return end(told, "", Tone::TooMany);
        }
        let Some(id) = survey_of(&self.app, form.get("survey").unwrap_or_default()) else { return over() };
        // Only what was not ours counts against an address.
        self.throttles.codes.give_back(&network(asked.peer), self.app.now());
        let found = match self.app.store.survey(self.app.org, id).await {
            Ok(found) => found,
            Err(error) => {
                note(&error);
                return end(language.texts().unavailable, "", Tone::Unavailable);
            }
        };
        let is_open = |survey: &gatehouse_store::feedback::Survey| {
            survey.answered_at.is_none() && survey.expires_at > self.app.now()
        };
        let Some(survey) = found.filter(is_open) else { return over() };
        if !sends {
            let mut response = self.ask(rules, url, asked, language, id, None);
            if form.get("lang").is_some()
                && let Some(cookie) = Cookie::Language.set(url, language.tag())
            {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            return response;
        }
        if !self.is_ours(url, asked, &form) {
            return self.ask(rules, url, asked, language, id, Some(language.texts().not_ours));
        }
        let Some(answer) = answer_of(&form) else {
            return self.ask(rules, url, asked, language, id, Some(t.missing));
        };
        let actor = Actor { kind: ActorKind::User, id: survey.user.to_string(), name: String::new() };
        let caller = Caller { actor, from: Some(asked.peer), request_id: None };
        let act = caller.draft(self.app.now(), "feedback.answer", Object::new("survey", id, ""));
        match self.app.store.answer_survey(self.app.org, id, fresh_id(&self.app), &answer, &act).await {
            Ok(true) => end(t.thanks, t.thanks_more, Tone::Fine),
            Ok(false) => over(),
            Err(error) => {
                note(&error);
                end(language.texts().unavailable, "", Tone::Unavailable)
            }
        }
    }

    fn ask(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
        language: Language,
        id: SurveyId,
        told: Option<&str>,
    ) -> Response<Bytes> {
        let t = texts(language);
        let link = link(&self.app, id);
        let body = |proof: &str| {
            let mut out = String::new();
            if let Some(told) = told {
                let _ = write!(out, "<p class=\"told\" role=\"alert\">{}</p>", escaped(told));
            }
            let hidden = [("survey", link.as_str()), ("form", proof), ("lang", language.tag())];
            let hidden = hidden.map(|(name, value)| {
                format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value))
            });
            let (mut scores, mut recommendations) = (String::new(), String::new());
            for score in 1..=5 {
                let word = match score {
                    1 => format!(" ({})", t.worst),
                    5 => format!(" ({})", t.best),
                    _ => String::new(),
                };
                let _ = write!(scores, "<option value=\"{score}\">{score}{word}</option>");
            }
            for nps in 0..=10 {
                let _ = write!(recommendations, "<option>{nps}</option>");
            }
            let _ = write!(
                out,
                "<p>{}</p><form method=\"post\" action=\"{}\">{}<label>{}<select name=\"score\" required>\
                 <option value=\"\"></option>{scores}</select></label><label>{}<select name=\"nps\"><option value=\"\">\
                 </option>{recommendations}</select></label><label>{}<input name=\"comment\" maxlength=\"{MAX_COMMENT}\" \
                 autocomplete=\"off\"></label><label><input type=\"checkbox\" name=\"named\" value=\"yes\">{}</label>\
                 <button>{}</button></form>",
                t.intro,
                escaped(&url.path(PATH)),
                hidden.concat(),
                t.score,
                t.nps,
                t.comment,
                t.named,
                t.send
            );
            out
        };
        let elsewhere = format!("{PATH}?survey={}&", link.as_str());
        let own = Own { heading: t.heading, body: &body, elsewhere: Some(&elsewhere) };
        let tone = if told.is_some() { Tone::Refused } else { Tone::Fine };
        self.page(rules, url, asked, language, &Shown::Own(&own), tone)
    }
}

fn answer_of(form: &Form) -> Option<Answer> {
    let number = |name| form.get(name).map(str::parse::<u64>).transpose().ok();
    let score = number("score")??;
    Answer::new(score, number("nps")?, form.get("comment"), form.get("named").is_some()).ok()
}
