// See answer_lines.h.
#include "runtime/app/answer_lines.h"
#include "runtime/app/json_value.h"

namespace gm {

void AnswerLines::push(int32_t id, std::string &out, std::string *thought) {
  reader.push(id, events);
  show(out, thought);
}

void AnswerLines::finish(std::string &out) {
  reader.finish(events);
  show(out, nullptr);
}

void AnswerLines::show(std::string &out, std::string *thought) {
  all.add(events);
  for (const AnswerEvent &event : events) {
    if (event.kind == AnswerEvent::Thought && thought) {
      *thought += event.text;
    } else if (event.kind == AnswerEvent::Text) {
      out += event.text;
      line_begins = event.text.ends_with('\n');
    } else if (event.kind == AnswerEvent::CallEnd) {
      const Answer::Call &call = all.calls[event.index];
      out += line_begins ? "{\"name\":\"" : "\n{\"name\":\"";
      append_json_escaped(call.name, out);
      ((out += "\",\"arguments\":") += call.json) += "}\n";
      line_begins = true;
    }
  }
  events.clear();
}

} // namespace gm
