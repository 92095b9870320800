/* A model as a library: what `gemmac --emit=lib` and `--emit=static-lib` make.
 * docs/library.md says how it is built against and what to expect of it.
 *
 * All state is in handles. Nothing is printed, nothing aborts, no signal
 * handler is set. Functions that can fail give a gemma_code and, where `error`
 * is not NULL, say in it what is wrong; on success they leave it alone. Handles
 * may be used on several threads at once, but for a generation, of which one
 * thread at a time may ask for pieces. Texts are UTF-8.
 *
 * Structs begin with `size`, which the caller sets to sizeof of the struct, so
 * that later versions can add fields. */
#ifndef GEMMA_H
#define GEMMA_H

#include <stddef.h>
#include <stdint.h>

#define GEMMA_VERSION_MAJOR 0
#define GEMMA_VERSION_MINOR 1
#define GEMMA_VERSION_PATCH 0
#define GEMMA_VERSION "0.1.0"

#if defined(__GNUC__)
#define GEMMA_API __attribute__((visibility("default")))
#else
#define GEMMA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gemma_model gemma_model;
typedef struct gemma_generation gemma_generation;

/* What programs exit with. */
typedef enum gemma_code {
  GEMMA_OK = 0,
  GEMMA_RUN_ERROR = 1,   /* while computing; a prompt that does not fit */
  GEMMA_USAGE = 2,       /* a call that means nothing */
  GEMMA_BAD_INPUT = 3,   /* broken JSON, text or file */
  GEMMA_UNSUPPORTED = 4, /* what this model or library cannot do */
  GEMMA_RESOURCES = 5,   /* memory, disk or permission */
  GEMMA_MACHINE = 6      /* this machine lacks what is needed */
} gemma_code;

/* One line without a full stop: what, expected, found, what to do. */
typedef struct gemma_error {
  int32_t code; /* gemma_code */
  char text[508];
} gemma_error;

/* The version of the library, GEMMA_VERSION of the header that it was made
 * with. Libraries of one SOVERSION (its first number, and with 0 in front of it
 * the second one, too) serve programs built with an older header. */
GEMMA_API const char *gemma_version(void);

/*===-- models ------------------------------------------------------------===*/

typedef struct gemma_options {
  size_t size;
  /* Of a shared library: its file; NULL: where it was loaded from. Of a static
   * one: its weight file; NULL: beside the running program. */
  const char *path;
  /* 0 in these is the default, which is said behind each. */
  int64_t context;     /* tokens of a sequence; min(model maximum, 8192) */
  int64_t slots;       /* sequences computed at once; 1 */
  int64_t queue;       /* sequences that may wait for a slot; 256 */
  int64_t batch;       /* most tokens computed at once; 512 */
  int64_t threads;     /* as many as there are cores */
  int64_t checkpoints; /* states kept, so that shared beginnings are computed
                        * once; 0 */
  int64_t device;      /* number of the card, of libraries for cards */
  int64_t media_bytes; /* kept of pictures and sounds in conversations; 0: none
                        * are taken, and there is no room for their rows */
} gemma_options;

/* Plans memory, takes it once, starts threads. `options` may be NULL. */
GEMMA_API gemma_code gemma_open(const gemma_options *options,
                                gemma_model **model, gemma_error *error);
/* Ends what runs as cancelled and gives everything back. No other call may use
 * the model meanwhile or later; generations stay until gemma_end. */
GEMMA_API void gemma_close(gemma_model *model);

/* A JSON object: name, target, compiler, vocab, max_context, context, slots,
 * threads, batch, memory (bytes of the plan), chat (whether messages can be
 * rendered), vision, audio (whether they may bring pictures, sounds). Lives as
 * long as the model; NULL for NULL. */
GEMMA_API const char *gemma_info(const gemma_model *model);

/*===-- text and ids ------------------------------------------------------===*/

enum {
  GEMMA_BOS = 1,    /* the token that begins a text stands in front, once */
  GEMMA_CONTROL = 2 /* control tokens like <turn|> written in a text count as
                     * such, and are shown as text */
};

/* Ids of `bytes` bytes of text. `count`: how many fit into `ids` (NULL: none);
 * becomes how many there are. */
GEMMA_API gemma_code gemma_encode(const gemma_model *model, const char *text,
                                  size_t bytes, int32_t flags, int32_t *ids,
                                  size_t *count, gemma_error *error);
/* The text of ids, the same way, a zero byte behind it if that fits. */
GEMMA_API gemma_code gemma_decode(const gemma_model *model, const int32_t *ids,
                                  size_t count, int32_t flags, char *text,
                                  size_t *bytes, gemma_error *error);
/* Ids of a conversation as gemma_request.chat has it, the same way; the token
 * that stands for it at every row of a picture or a sound. */
GEMMA_API gemma_code gemma_render(const gemma_model *model, const char *chat,
                                  int32_t *ids, size_t *count,
                                  gemma_error *error);

/*===-- generations -------------------------------------------------------===*/

/* What to generate. One of chat, text and ids is given. */
typedef struct gemma_request {
  size_t size;
  /* A JSON object as POST /v1/chat/completions takes it: messages, tools,
   * tool_choice, response_format, reasoning_effort, ... Pictures and sounds
   * are data URLs in it; they are decoded before gemma_start returns. What it
   * says of sampling and length goes before the fields below. */
  const char *chat;
  const char *text; /* to be continued; the beginning of a text */
  const int32_t *ids;
  size_t id_count;
  /* What an answer must be: JSON that a schema allows, or a text of the rule
   * `root` of a GBNF grammar. At most one; NULL: anything. */
  const char *json_schema;
  const char *grammar;
  const char *const *stops; /* texts that end the answer */
  size_t stop_count;
  int64_t max_tokens; /* -1: what the context holds */
  double temperature; /* 0: always the most likely token */
  double top_p;       /* 1: all */
  double min_p;
  int64_t top_k; /* 0: all */
  uint64_t seed;
  double presence_penalty;
  double frequency_penalty;
  double repeat_penalty; /* 1: none */
  int32_t ignore_stop;   /* go on behind the model's stop tokens */
} gemma_request;

/* Fills in everything behind `size`, which is set: the model's own sampling, a
 * random seed, no prompt, no limit. */
GEMMA_API gemma_code gemma_defaults(const gemma_model *model,
                                    gemma_request *request, gemma_error *error);

/* Begins to generate, on the model's own threads. Nothing that `request` points
 * to is needed afterwards. */
GEMMA_API gemma_code gemma_start(gemma_model *model,
                                 const gemma_request *request,
                                 gemma_generation **generation,
                                 gemma_error *error);

enum {
  GEMMA_NOTHING = 0,   /* the time is over, nothing has come */
  GEMMA_TEXT = 1,      /* more of the answer */
  GEMMA_THOUGHT = 2,   /* more of the thought in front of it */
  GEMMA_CALL = 3,      /* a tool call begins: its name */
  GEMMA_ARGUMENTS = 4, /* more of its arguments, a JSON object */
  GEMMA_END = 5
};
enum {
  GEMMA_STOPPED = 1,   /* at a stop token or text */
  GEMMA_CALLED = 2,    /* the same, and there are tool calls */
  GEMMA_LENGTH = 3,    /* max_tokens, or the context is full */
  GEMMA_CANCELLED = 4, /* gemma_cancel or gemma_close */
  GEMMA_FAILED = 5     /* gemma_next says why */
};

typedef struct gemma_piece {
  size_t size;
  int32_t kind;
  int32_t call; /* number of the tool call, from 0 */
  const char
      *text; /* `bytes` bytes and a zero byte; valid until the next call */
  size_t bytes;
  const int32_t *ids; /* that were drawn since the piece before, stop tokens
                       * too; valid as `text` is */
  size_t id_count;
  int32_t finish; /* of GEMMA_END */
} gemma_piece;

/* Waits for the next piece: at most `milliseconds`, -1: as long as it takes.
 * Characters are whole. Fails once the model has; the piece is GEMMA_END then,
 * and again in every later call. */
GEMMA_API gemma_code gemma_next(gemma_generation *generation,
                                int64_t milliseconds, gemma_piece *piece,
                                gemma_error *error);

typedef struct gemma_usage {
  size_t size;
  int64_t prompt, cached, generated; /* tokens; cached: of the prompt */
  int64_t waited_ns, prompt_ns, generate_ns;
} gemma_usage;

/* What a generation has cost, once its GEMMA_END has come; zeros before. */
GEMMA_API gemma_code gemma_usage_of(const gemma_generation *generation,
                                    gemma_usage *usage, gemma_error *error);

/* Ends it before its next token, from any thread. */
GEMMA_API void gemma_cancel(gemma_generation *generation);
/* Cancels it and gives the handle back. */
GEMMA_API void gemma_end(gemma_generation *generation);

#ifdef __cplusplus
}
#endif

#endif
