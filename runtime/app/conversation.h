// From messages and their media to the ids of a prompt: what `run`, `chat`,
// `eval` and `tokenize` share. Knows the chat format's renderer and the
// tokenizer; must not know how a model reads what comes out.
#pragma once

#include "runtime/app/media.h"
#include "runtime/app/messages.h"
#include "runtime/app/template.h"

namespace gm {

// --messages.
Flag messages_flag(std::optional<std::string> &file);
// Reads what the flag names; its media come behind those that there are.
// UNSUPPORTED in a program without a chat template.
Status open_conversation(const Program &program, const std::string &file,
                         Conversation &conversation, Media &media);

// The media from `first` on, in front of the text that the message is.
void put_in_front(const Media &media, size_t first, Message &message);
// How many media the messages have places for.
size_t media_in(const std::vector<Message> &messages);

// Ids of the rendered conversation, at most `most` of them; `count`: how many
// there are. One id stands for each medium, and for each frame of a film.
Status encode_conversation(const Program &program,
                           const Conversation &conversation,
                           bool generation_prompt, bool allow_special,
                           int64_t most, std::vector<int32_t> &ids,
                           size_t &count);

// All of it but the towers, of what --messages names: media are measured,
// `items` stand for them and for the text, `ids` for `items`. RUN_ERROR if
// there are more than `most`. `complete`: a conversation that ends in an answer
// is not asked for another one.
Status expand_conversation(const Program &program, const std::string &file,
                           bool complete, bool allow_special, int64_t most,
                           Media &media, Items &items,
                           std::vector<int32_t> &ids);

} // namespace gm
