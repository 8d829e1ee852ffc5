// Logging in with the API's own sessions, the second factor where there is one, and setting one up where staff need it.

import { ask, logIn } from "./api.js";
import { h } from "./dom.js";
import { field, problemLine, submits } from "./forms.js";

const CODE = { name: "otp", label: "Code of your authenticator, or a recovery code", autocomplete: "one-time-code" };

/** Ask for address and password, and for a code once the API wants one; then call `enter`. */
export function showLogIn(place, enter, words) {
  const code = field({ ...CODE, inputmode: "numeric" });
  code.hidden = true;
  const form = h(
    "form",
    { class: "card", id: "log-in", novalidate: true },
    h("h1", { tabindex: "-1" }, "Log in"),
    h("p", {}, words ?? "This console is for moderators and admins."),
    problemLine(),
    field({ name: "username", label: "E-mail address", type: "email", autocomplete: "username" }),
    field({ name: "password", label: "Password", type: "password", autocomplete: "current-password" }),
    code,
    h("button", { type: "submit", class: "do" }, "Log in"),
  );
  submits(form, async ({ otp, ...values }) => {
    try {
      await logIn(otp ? { ...values, otp } : values);
    } catch (problem) {
      if (problem.code !== "SECOND_FACTOR_REQUIRED") {
        throw problem;
      }
      code.hidden = false;
      code.querySelector("input").focus();
      return;
    }
    await enter();
  });
  place.replaceChildren(form);
  form.elements.username.focus();
}

/** Set up a second factor: the secret, the first code, and the recovery codes, which are shown once. */
export async function showEnrolment(place, enter) {
  const setup = await ask("POST", "/auth/totp");
  const form = h(
    "form",
    { class: "card", id: "enrol", novalidate: true },
    h("h1", { tabindex: "-1" }, "Set up a second factor"),
    h("p", {}, "Staff need one here. Type this into your authenticator, then its first code below:"),
    h("p", {}, h("code", { class: "secret" }, setup.secret)),
    h("p", {}, h("a", { href: setup.otpauth_uri }, "Open it in an authenticator on this device")),
    problemLine(),
    field({ name: "code", label: "Code", autocomplete: "one-time-code", inputmode: "numeric" }),
    h("button", { type: "submit", class: "do" }, "Confirm"),
  );
  submits(form, async (values) => {
    const { recovery_codes: codes } = await ask("POST", "/auth/totp/confirm", { json: values });
    const done = h("button", { type: "button", class: "do", onclick: enter }, "I have kept them");
    place.replaceChildren(
      h(
        "section",
        { class: "card" },
        h("h1", { tabindex: "-1" }, "Recovery codes"),
        h("p", {}, "Each of them lets you in once without your authenticator. They are shown here and never again."),
        h("ul", { class: "codes" }, codes.map((code) => h("li", {}, h("code", {}, code)))),
        done,
      ),
    );
    done.focus();
  });
  place.replaceChildren(form);
  form.elements.code.focus();
}
