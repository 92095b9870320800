// The page of `serve`: one conversation over /v1/chat/completions. Everything
// that a model writes goes through marked and DOMPurify; nothing is fetched
// from anywhere but this server.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

  // An element: its class, properties and children, texts or elements.
  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // ---- What is kept between visits -----------------------------------------

  const numbers = ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"];
  const kept = [...numbers, "system", "tools", "thinking"];

  function keep(name, value) {
    try {
      localStorage.setItem(name, value);
    } catch {
      // No room, or not allowed: the page works without.
    }
  }

  function recall(name) {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  }

  for (const name of kept) {
    const input = $(name), value = recall(name), box = input.type === "checkbox";
    if (value !== null)
      box ? (input.checked = value === "true") : (input.value = value);
    input.addEventListener("change", () => keep(name, box ? input.checked : input.value));
  }

  // ---- The server ----------------------------------------------------------

  let context = 0; // tokens; 0: unknown
  let takes = {}; // vision, audio, video
  let model = "";

  function headers() {
    const key = $("key").value;
    return { "Content-Type": "application/json", ...(key && { Authorization: "Bearer " + key }) };
  }

  async function failure(response) {
    let text = response.statusText;
    try {
      const error = (await response.json()).error;
      text = error.message ?? error;
    } catch {
      // No JSON: the status says it.
    }
    return new Error(text + " (" + response.status + ")");
  }

  async function meet() {
    try {
      const response = await fetch("props", { headers: headers() });
      if (!response.ok)
        throw await failure(response);
      const props = await response.json();
      context = props.default_generation_settings?.n_ctx ?? 0;
      takes = props.modalities ?? {};
      model = props.model_alias ?? "";
      $("model").textContent = document.title = model || "chat";
      $("attach").hidden = !takes.vision && !takes.audio && !takes.video;
      say("");
    } catch (error) {
      say("This server does not answer as it should: " + error.message, true);
    }
  }
  $("key").addEventListener("change", meet);

  // Server-sent events of a response, parsed; until [DONE].
  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done)
        return;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:"))
          .map((line) => line.slice(5).trimStart()).join("\n");
        if (data === "[DONE]")
          return;
        if (data)
          yield JSON.parse(data);
      }
    }
  }

  // ---- Messages ------------------------------------------------------------

  // As in the API; of an answer also `reasoning`, `calls` (index, id, name,
  // arguments), `about` (what it cost) and `error`; of a question `media`
  // (kind, name, url).
  let messages = [];
  let busy = null; // the AbortController of the answer that comes

  function say(text, bad = false) {
    $("status").textContent = text;
    $("status").classList.toggle("error", bad);
  }

  function partOf(medium) {
    if (medium.kind === "image")
      return { type: "image_url", image_url: { url: medium.url } };
    if (medium.kind === "video")
      return { type: "video_url", video_url: { url: medium.url } };
    const format = (medium.name.split(".").pop() || "wav").toLowerCase();
    return { type: "input_audio", input_audio: { data: medium.url.split(",")[1], format } };
  }

  function forApi(message) {
    if (message.role === "user" && message.media?.length)
      return { role: "user", content: [...message.media.map(partOf), { type: "text", text: message.content }] };
    if (message.role === "tool")
      return { role: "tool", tool_call_id: message.id, content: message.content };
    const out = { role: message.role, content: message.content };
    if (message.calls?.length) {
      out.tool_calls = message.calls.map((call) => ({
        id: call.id, type: "function", function: { name: call.name, arguments: call.arguments || "{}" },
      }));
      out.reasoning_content = message.reasoning;
    }
    return out;
  }

  function toolsGiven() {
    const text = $("tools").value.trim();
    $("tools-error").hidden = true;
    if (!text)
      return undefined;
    try {
      const tools = JSON.parse(text);
      if (!Array.isArray(tools))
        throw new Error("expected a list");
      return tools.length ? tools : undefined;
    } catch (error) {
      $("tools-error").textContent = "Tools: " + error.message;
      $("tools-error").hidden = false;
      show($("settings"), true);
      throw new Error("the tools in the settings are no JSON list");
    }
  }

  function request() {
    const system = $("system").value.trim();
    const body = {
      messages: [...(system ? [{ role: "system", content: system }] : []), ...messages.map(forApi)],
      stream: true,
      stream_options: { include_usage: true },
      chat_template_kwargs: { enable_thinking: $("thinking").checked },
      tools: toolsGiven(),
    };
    if (model)
      body.model = model;
    for (const name of numbers)
      if ($(name).value !== "" && Number.isFinite(+$(name).value))
        body[name] = +$(name).value;
    return body;
  }

  // Takes a chunk of a stream into the answer.
  function take(answer, chunk) {
    if (chunk.error)
      throw new Error(chunk.error.message ?? chunk.error);
    if (chunk.usage)
      answer.usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice)
      return;
    const delta = choice.delta ?? {};
    answer.content += delta.content ?? "";
    answer.reasoning += delta.reasoning_content ?? "";
    for (const part of delta.tool_calls ?? []) {
      const call = (answer.calls[part.index] ??= { id: "", name: "", arguments: "" });
      call.id = part.id ?? call.id;
      call.name += part.function?.name ?? "";
      call.arguments += part.function?.arguments ?? "";
    }
    answer.finish = choice.finish_reason ?? answer.finish;
  }

  async function answerNow() {
    let body;
    try {
      body = request();
    } catch (error) {
      return say(error.message, true);
    }
    const answer = { role: "assistant", content: "", reasoning: "", calls: [] };
    const view = viewOf(answer);
    busy = new AbortController();
    buttons();
    say("");
    const asked = performance.now();
    let first = 0;
    try {
      const response = await fetch("v1/chat/completions",
        { method: "POST", headers: headers(), body: JSON.stringify(body), signal: busy.signal });
      if (!response.ok)
        throw await failure(response);
      messages.push(answer);
      $("talk").append(view.element);
      follow();
      for await (const chunk of events(response)) {
        take(answer, chunk);
        if (!first && (answer.content || answer.reasoning || answer.calls.length))
          first = performance.now();
        view.soon();
      }
      if (!answer.finish)
        throw new Error("the answer ended early");
    } catch (error) {
      if (error.name === "AbortError")
        answer.finish = "stopped";
      else if (messages.at(-1) === answer)
        answer.error = error.message;
      else
        say(error.message, true); // refused: the question stays to be edited
    }
    busy = null;
    answer.about = costs(answer, asked, first);
    view.now();
    meter(answer.usage);
    buttons();
    if (view.element.isConnected)
      follow();
  }

  function costs(answer, asked, first) {
    const parts = [], now = performance.now(), tokens = answer.usage?.completion_tokens;
    if (answer.finish === "stopped")
      parts.push("stopped");
    if (answer.finish === "length")
      parts.push("cut off: no room for more tokens");
    if (tokens !== undefined) {
      parts.push(tokens + (tokens === 1 ? " token" : " tokens"));
      if (first && tokens > 1 && now > first) // clocks of browsers are coarse
        parts.push(((tokens - 1) / ((now - first) / 1000)).toFixed(1) + " tok/s");
    }
    if (first)
      parts.push("first after " + ((first - asked) / 1000).toFixed(1) + " s");
    return parts.join(" · ");
  }

  function meter(usage) {
    if (!usage || !context)
      return;
    const used = usage.total_tokens;
    $("meter").hidden = false;
    $("meter").setAttribute("aria-valuemax", context);
    $("meter").setAttribute("aria-valuenow", used);
    $("meter").querySelector("i").style.width = Math.min(100, 100 * used / context) + "%";
    $("meter").querySelector("span").textContent = used + " / " + context;
  }

  // ---- What is seen --------------------------------------------------------

  // HTML in an answer is text. Pictures from elsewhere would tell others what is
  // read here: their names stand for them.
  const escape = (text) => text.replace(/[&<>"']/g, (c) => "&#" + c.charCodeAt(0) + ";");
  marked.use({
    renderer: {
      html: (html) => escape(html),
      image: (href, title, text) => "<code>" + escape(text || href) + "</code>",
    },
  });

  // Text in Markdown that grows: blocks that stay the same are left alone.
  function markdown(element) {
    let shown = [];
    return (text) => {
      const blocks = marked.lexer(text);
      const links = blocks.links;
      blocks.forEach((block, i) => {
        if (shown[i]?.raw === block.raw)
          return;
        const one = Object.assign([block], { links });
        const html = DOMPurify.sanitize(marked.parser(one), {
          FORBID_TAGS: ["style", "form", "input", "button", "iframe"], FORBID_ATTR: ["style", "id", "name"],
        });
        const node = make("div", { innerHTML: html });
        for (const pre of node.querySelectorAll("pre"))
          pre.append(make("button", {
            className: "copy", textContent: "Copy",
            onclick: () => navigator.clipboard.writeText(pre.querySelector("code")?.textContent ?? ""),
          }));
        for (const link of node.querySelectorAll("a"))
          Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
        shown[i] ? shown[i].node.replaceWith(node) : element.append(node);
        shown[i] = { raw: block.raw, node };
      });
      for (const old of shown.splice(blocks.length))
        old.node.remove();
    };
  }

  function pictureOf(medium) {
    if (medium.kind === "image")
      return make("img", { src: medium.url, alt: medium.name });
    return make(medium.kind, { src: medium.url, controls: true, title: medium.name });
  }

  function pretty(text) {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  }

  function callView(call, answer) {
    const name = make("summary"), text = make("pre"), result = make("div", { className: "row" });
    const element = make("details", { className: "tool", open: true }, name, text, result);
    const view = {
      element,
      update(done) {
        name.textContent = "calls " + call.name;
        text.textContent = done ? pretty(call.arguments) : call.arguments;
        const last = messages.at(-1) === answer || messages.at(-1)?.role === "tool";
        const given = messages.find((m) => m.role === "tool" && m.id === call.id);
        if (given)
          result.replaceChildren(make("span", { className: "hint", textContent: "result: " + given.content }));
        if (!done || !last || result.firstChild)
          return;
        const input = make("input", { placeholder: "Result of " + call.name, ariaLabel: "Result of " + call.name });
        const give = () => {
          messages.push({ role: "tool", id: call.id, name: call.name, content: input.value });
          view.update(true);
          if (answer.calls.every((c) => messages.some((m) => m.role === "tool" && m.id === c.id)))
            answerNow();
        };
        input.addEventListener("keydown", (event) => event.key === "Enter" && give());
        result.append(input, make("button", { textContent: "Give", onclick: give }));
      },
    };
    return view;
  }

  function viewOf(message) {
    const body = make("div", { className: "body" });
    const about = make("div", { className: "about" });
    const element = make("article", { className: "message " + message.role });
    const index = () => messages.indexOf(message);
    const action = (text, title, act) => make("button", { textContent: text, title, onclick: () => busy || act() });
    const copy = action("Copy", "Copy the text", () => navigator.clipboard.writeText(message.content));
    element.message = message;

    if (message.role === "user") {
      const edit = () => {
        const text = make("textarea", { value: message.content, rows: 3, ariaLabel: "Edit the question" });
        const send = () => {
          const content = text.value;
          cut(index());
          ask(content, message.media);
        };
        text.addEventListener("keydown", (event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing)
            event.preventDefault(), send();
          if (event.key === "Escape")
            event.stopPropagation(), text.replaceWith(body);
        });
        body.replaceWith(text);
        text.focus();
      };
      element.edit = edit;
      body.textContent = message.content;
      element.append(make("div", { className: "media" }, ...(message.media ?? []).map(pictureOf)), body, about);
      about.append(action("Edit", "Edit the question and ask again", edit), copy);
      return { element, now() {}, soon() {} };
    }

    const thought = make("div"), calls = make("div");
    const thinking = make("details", { className: "thought", hidden: true }, make("summary"), thought);
    const error = make("p", { className: "error", hidden: true });
    const costs = make("span");
    const show = markdown(body);
    const views = [];
    element.append(thinking, body, calls, error, about);
    let waiting = false;
    const update = () => {
      const done = message.about !== undefined;
      thinking.hidden = !message.reasoning;
      thinking.firstChild.textContent = done || message.content ? "Thought" : "Thinking…";
      thought.textContent = message.reasoning;
      show(message.content);
      (message.calls ?? []).forEach((call, i) => {
        if (!views[i])
          calls.append((views[i] = callView(call, message)).element);
        views[i].update(done);
      });
      error.hidden = !message.error;
      error.textContent = message.error ?? "";
      if (done && !about.firstChild)
        about.append(action("Again", "Answer anew", () => {
          cut(index());
          answerNow();
        }), copy, costs);
      costs.textContent = message.about ?? "";
    };
    return {
      element,
      now: update,
      // At most once a frame, whatever comes.
      soon() {
        if (waiting)
          return;
        waiting = true;
        requestAnimationFrame(() => {
          waiting = false;
          const end = atEnd();
          update();
          if (end)
            follow();
        });
      },
    };
  }

  const atEnd = () => $("talk").scrollHeight - $("talk").scrollTop - $("talk").clientHeight < 60;
  const follow = () => $("talk").scrollTo(0, $("talk").scrollHeight);

  // Forgets the messages from `index` on.
  function cut(index) {
    messages.length = index;
    for (const element of [...$("talk").children])
      if (!messages.includes(element.message))
        element.remove();
  }

  function showAll() {
    $("talk").replaceChildren();
    for (const message of messages) {
      if (message.role === "tool")
        continue;
      const view = viewOf(message);
      $("talk").append(view.element);
      view.now();
    }
    follow();
  }

  function show(element, shown) {
    element.hidden = !shown;
    $("open-settings").setAttribute("aria-expanded", shown);
  }

  function buttons() {
    $("send").textContent = busy ? "Stop" : "Send";
    $("new").disabled = $("load").disabled = !!busy;
  }

  // ---- Pictures and sounds -------------------------------------------------

  let attached = [];

  function showAttached() {
    $("attached").hidden = !attached.length;
    $("attached").replaceChildren(...attached.map((medium) => make("figure", {},
      medium.kind === "image" ? pictureOf(medium) : make("span", { textContent: medium.name }),
      make("button", {
        textContent: "×", title: "Remove " + medium.name,
        onclick: () => (attached = attached.filter((other) => other !== medium), showAttached()),
      }))));
  }

  async function add(files) {
    for (const file of files) {
      const kind = file.type.split("/")[0];
      const taken = { image: takes.vision, audio: takes.audio, video: takes.video }[kind];
      if (!taken) {
        say(file.name + ": this model does not take " + (kind || "such") + " files", true);
        continue;
      }
      const url = await new Promise((resolve, reject) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result);
        reader.onerror = () => reject(reader.error);
        reader.readAsDataURL(file);
      });
      attached.push({ kind, name: file.name, url });
    }
    showAttached();
  }

  $("attach").onclick = () => $("files").click();
  $("files").onchange = () => (add($("files").files), ($("files").value = ""));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    add(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length)
      event.preventDefault(), add(event.clipboardData.files);
  });

  // ---- Asking --------------------------------------------------------------

  function ask(content, media = []) {
    const question = { role: "user", content, media };
    messages.push(question);
    $("talk").append(viewOf(question).element);
    answerNow();
  }

  function grow() {
    $("text").style.height = "auto";
    $("text").style.height = $("text").scrollHeight + 2 + "px";
  }

  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (busy)
      return busy.abort();
    const content = $("text").value.trim();
    if (!content && !attached.length)
      return;
    const media = attached;
    attached = [];
    showAttached();
    $("text").value = "";
    grow();
    ask(content, media);
  });
  $("text").addEventListener("input", grow);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!busy)
        $("composer").requestSubmit();
    }
    if (event.key === "ArrowUp" && !$("text").value && !busy)
      [...$("talk").querySelectorAll(".message.user")].at(-1)?.edit();
  });

  function renew() {
    messages = [];
    attached = [];
    showAttached();
    showAll();
    say("");
    $("meter").hidden = true;
    $("text").focus();
  }
  $("new").onclick = renew;
  $("open-settings").onclick = () => show($("settings"), $("settings").hidden);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && busy)
      busy.abort();
    if (!event.altKey)
      return;
    if (event.code === "KeyN" && !busy)
      event.preventDefault(), renew();
    if (event.code === "KeyS")
      event.preventDefault(), $("open-settings").click();
  });

  // ---- Conversations in files ----------------------------------------------

  $("save").onclick = () => {
    const url = URL.createObjectURL(new Blob([JSON.stringify({ messages }, null, 1)], { type: "application/json" }));
    make("a", { href: url, download: "conversation.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  $("load").onclick = () => $("conversation-file").click();
  // Nothing of a file is taken that this page would not have written.
  function readMessage(found) {
    const text = (value) => {
      if (typeof value !== "string")
        throw new Error("expected messages as this page saves them");
      return value;
    };
    const content = text(found?.content);
    if (found.role === "tool")
      return { role: "tool", id: text(found.id), name: text(found.name), content };
    if (found.role === "assistant") {
      const calls = (found.calls ?? []).map((call) => (
        { id: text(call?.id), name: text(call.name), arguments: text(call.arguments) }));
      return { role: "assistant", content, reasoning: text(found.reasoning ?? ""), calls, about: text(found.about ?? "") };
    }
    if (found.role !== "user")
      text(undefined);
    const media = (found.media ?? []).map((medium) => {
      if (!["image", "audio", "video"].includes(medium?.kind) || !text(medium.url).startsWith("data:"))
        text(undefined);
      return { kind: medium.kind, name: text(medium.name), url: medium.url };
    });
    return { role: "user", content, media };
  }
  $("conversation-file").onchange = async () => {
    try {
      const found = JSON.parse(await $("conversation-file").files[0].text()).messages;
      messages = Array.from(found ?? [undefined], readMessage);
      showAll();
      show($("settings"), false);
    } catch (error) {
      say("The conversation cannot be read: " + error.message, true);
    }
    $("conversation-file").value = "";
  };

  meet();
})();
