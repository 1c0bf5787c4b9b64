"use strict";
// Shows what needs a script, and lets the browser ask for a passkey when such a form is sent. What the device answers goes
// back in the form's own fields.
(() => {
  if (!window.PublicKeyCredential || !navigator.credentials) return;

  const toBytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const toText = (buffer) =>
    btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
      .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (ids) => ids.map((id) => ({ type: "public-key", id: toBytes(id) }));

  const get = async (asked) => {
    const credential = await navigator.credentials.get({
      publicKey: {
        challenge: toBytes(asked.challenge),
        rpId: asked.party,
        allowCredentials: named(asked.known),
        userVerification: "required",
        timeout: 300000,
      },
    });
    return {
      credential: credential.rawId,
      client_data: credential.response.clientDataJSON,
      authenticator_data: credential.response.authenticatorData,
      signature: credential.response.signature,
    };
  };

  const create = async (asked) => {
    const credential = await navigator.credentials.create({
      publicKey: {
        challenge: toBytes(asked.challenge),
        rp: { id: asked.party, name: asked.site },
        user: { id: new TextEncoder().encode(asked.user), name: asked.email, displayName: asked.email },
        pubKeyCredParams: asked.algorithms.map((alg) => ({ type: "public-key", alg })),
        excludeCredentials: named(asked.known),
        authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
        attestation: "none",
        timeout: 300000,
      },
    });
    return { client_data: credential.response.clientDataJSON, attestation: credential.response.attestationObject };
  };

  for (const part of document.querySelectorAll("[data-passkey]")) {
    part.hidden = false;
    const form = part.querySelector("form[data-asked]");
    if (!form) continue;
    const failed = part.querySelector("[data-failed]");
    let busy = false;
    const ask = async () => {
      if (busy) return;
      busy = true;
      failed.hidden = true;
      try {
        const asked = JSON.parse(form.dataset.asked);
        const answer = await (asked.make ? create(asked) : get(asked));
        for (const [name, buffer] of Object.entries(answer)) form.elements[name].value = toText(buffer);
        form.submit();
      } catch {
        failed.hidden = false;
        busy = false;
      }
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask();
    });
    if (form.dataset.at === "once") ask();
  }
})();
