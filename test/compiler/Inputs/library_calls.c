/* What gemma.h promises, right and wrong calls: library_calls [WEIGHTS]. Prints
 * the ids of an answer, greedy, and nothing else; exits 1 where a promise
 * breaks. */
#include <gemma.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *question =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"What is the capital "
    "of France?\"}]}";
static gemma_error error;

#define EXPECT(what)                                                           \
  do {                                                                         \
    if (!(what)) {                                                             \
      fprintf(stderr, "%d: %s; last error: %s\n", __LINE__, #what,             \
              error.text);                                                     \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)
/* The call fails with this code, and its text says this. */
#define FAILS(call, with, says)                                                \
  do {                                                                         \
    memset(&error, 0, sizeof error);                                           \
    EXPECT((call) == (with));                                                  \
    EXPECT(error.code == (int32_t)(with));                                     \
    EXPECT(strstr(error.text, says));                                          \
  } while (0)

typedef struct answer {
  char text[4096], thought[4096], calls[4096];
  int32_t ids[512];
  size_t count;
  int32_t finish;
  gemma_code code;
  gemma_usage usage;
} answer;

static gemma_request greedy(gemma_model *model) {
  gemma_request r = {.size = sizeof r};
  EXPECT(gemma_defaults(model, &r, &error) == GEMMA_OK);
  r.temperature = 0;
  return r;
}

static void read_all(gemma_generation *g, answer *a) {
  gemma_piece piece = {.size = sizeof piece};
  memset(a, 0, sizeof *a);
  a->usage.size = sizeof a->usage;
  for (;;) {
    a->code = gemma_next(g, -1, &piece, &error);
    EXPECT(a->count + piece.id_count <= 512);
    memcpy(a->ids + a->count, piece.ids, piece.id_count * sizeof *piece.ids);
    a->count += piece.id_count;
    EXPECT(strlen(piece.text) == piece.bytes);
    if (piece.kind == GEMMA_END)
      break;
    char *to = piece.kind == GEMMA_TEXT      ? a->text
               : piece.kind == GEMMA_THOUGHT ? a->thought
                                             : a->calls;
    EXPECT(strlen(to) + piece.bytes < 4096);
    strcat(to, piece.text);
  }
  a->finish = piece.finish;
  EXPECT(gemma_usage_of(g, &a->usage, &error) == GEMMA_OK);
}

static void ask(gemma_model *model, const gemma_request *r, answer *a) {
  gemma_generation *g;
  EXPECT(gemma_start(model, r, &g, &error) == GEMMA_OK);
  read_all(g, a);
  gemma_end(g);
}

static void nulls(gemma_model *model) {
  gemma_request r = greedy(model);
  gemma_generation *g;
  gemma_piece piece = {.size = sizeof piece};
  gemma_usage usage = {.size = sizeof usage};
  size_t n = 0;
  int32_t id = 1;
  FAILS(gemma_open(NULL, NULL, &error), GEMMA_USAGE, "model");
  EXPECT(gemma_open(NULL, NULL, NULL) == GEMMA_USAGE);
  gemma_close(NULL);
  gemma_cancel(NULL);
  gemma_end(NULL);
  EXPECT(!gemma_info(NULL));
  FAILS(gemma_encode(NULL, "", 0, 0, NULL, &n, &error), GEMMA_USAGE, "model");
  FAILS(gemma_encode(model, NULL, 0, 0, NULL, &n, &error), GEMMA_USAGE, "text");
  FAILS(gemma_encode(model, "", 0, 0, NULL, NULL, &error), GEMMA_USAGE,
        "count");
  FAILS(gemma_decode(NULL, &id, 1, 0, NULL, &n, &error), GEMMA_USAGE, "model");
  FAILS(gemma_decode(model, NULL, 1, 0, NULL, &n, &error), GEMMA_USAGE, "ids");
  FAILS(gemma_decode(model, &id, 1, 0, NULL, NULL, &error), GEMMA_USAGE,
        "bytes");
  FAILS(gemma_render(NULL, question, NULL, &n, &error), GEMMA_USAGE, "model");
  FAILS(gemma_render(model, NULL, NULL, &n, &error), GEMMA_USAGE, "chat");
  FAILS(gemma_render(model, question, NULL, NULL, &error), GEMMA_USAGE,
        "count");
  FAILS(gemma_defaults(NULL, &r, &error), GEMMA_USAGE, "model");
  FAILS(gemma_defaults(model, NULL, &error), GEMMA_USAGE, "request");
  FAILS(gemma_start(model, &r, NULL, &error), GEMMA_USAGE, "generation");
  FAILS(gemma_start(NULL, &r, &g, &error), GEMMA_USAGE, "model");
  FAILS(gemma_start(model, NULL, &g, &error), GEMMA_USAGE, "request");
  FAILS(gemma_next(NULL, 0, &piece, &error), GEMMA_USAGE, "generation");
  FAILS(gemma_usage_of(NULL, &usage, &error), GEMMA_USAGE, "generation");
  r.text = "a";
  EXPECT(gemma_start(model, &r, &g, &error) == GEMMA_OK);
  FAILS(gemma_next(g, 0, NULL, &error), GEMMA_USAGE, "piece");
  FAILS(gemma_usage_of(g, NULL, &error), GEMMA_USAGE, "usage");
  gemma_end(g);
}

/* Starting `r` fails. */
static void refused(gemma_model *model, gemma_request r, gemma_code code,
                    const char *says) {
  gemma_generation *g = (gemma_generation *)1;
  FAILS(gemma_start(model, &r, &g, &error), code, says);
  EXPECT(!g);
}

static void wrong_requests(gemma_model *model) {
  const gemma_request base = greedy(model);
  gemma_request r = base;
  const int32_t many[1] = {1 << 30}, *none = NULL;
  const char *stops[1] = {NULL};
  refused(model, base, GEMMA_USAGE, "one of chat, text and ids");
  r.chat = question, r.text = "a";
  refused(model, r, GEMMA_USAGE, "one of chat, text and ids");
  r = base, r.size = 0, r.text = "a";
  refused(model, r, GEMMA_USAGE, "size");
  r = base, r.ids = many, r.id_count = 1;
  refused(model, r, GEMMA_BAD_INPUT, "ids[0]");
  r = base, r.ids = many;
  refused(model, r, GEMMA_RUN_ERROR, "empty");
  r = base, r.ids = none, r.id_count = 3;
  refused(model, r, GEMMA_USAGE, "one of");
  r = base, r.chat = "{";
  refused(model, r, GEMMA_BAD_INPUT, "chat");
  r.chat = "[]";
  refused(model, r, GEMMA_BAD_INPUT, "object");
  r.chat = "{\"messages\": 3}";
  refused(model, r, GEMMA_BAD_INPUT, "messages");
  r.chat =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"n\": 2}";
  refused(model, r, GEMMA_UNSUPPORTED, "'n'");
  r.chat = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], "
           "\"temperature\": \"hot\"}";
  refused(model, r, GEMMA_BAD_INPUT, "temperature");
  r = base, r.text = "\xff";
  refused(model, r, GEMMA_BAD_INPUT, "UTF-8");
  r.text = "a", r.temperature = -1;
  refused(model, r, GEMMA_BAD_INPUT, "temperature");
  r.temperature = 0.0 / 0.0;
  refused(model, r, GEMMA_USAGE, "finite");
  r = base, r.text = "a", r.json_schema = "{", r.temperature = 0;
  refused(model, r, GEMMA_BAD_INPUT, "json_schema");
  r.json_schema = "{\"type\": \"nothing\"}";
  refused(model, r, GEMMA_BAD_INPUT, "type");
  r.grammar = "root ::= \"a\"";
  refused(model, r, GEMMA_BAD_INPUT, "exclude");
  r.json_schema = NULL, r.grammar = "root = a";
  refused(model, r, GEMMA_BAD_INPUT, "grammar");
  r.grammar = NULL, r.stops = stops, r.stop_count = 1;
  refused(model, r, GEMMA_USAGE, "stops[0]");
  r.stops = NULL;
  refused(model, r, GEMMA_USAGE, "stops");

  char *text = malloc(1 << 20);
  memset(text, 'a', (1 << 20) - 1);
  for (int i = 0; i < (1 << 20) - 1; i += 2)
    text[i] = ' ';
  text[(1 << 20) - 1] = 0;
  r = base, r.text = text;
  refused(model, r, GEMMA_RUN_ERROR, "context");
  free(text);
}

static void wrong_options(const char *path) {
  gemma_options o = {.size = sizeof o, .path = path};
  gemma_model *model = (gemma_model *)1;
  o.slots = -1;
  FAILS(gemma_open(&o, &model, &error), GEMMA_USAGE, "options.slots");
  EXPECT(!model);
  o.slots = 0, o.context = 1 << 24;
  FAILS(gemma_open(&o, &model, &error), GEMMA_USAGE, "ontext");
  o.context = 0, o.path = "/nowhere";
  FAILS(gemma_open(&o, &model, &error), GEMMA_BAD_INPUT, "/nowhere");
  o.path = "/dev/null";
  FAILS(gemma_open(&o, &model, &error), GEMMA_BAD_INPUT, "/dev/null");
  o.size = 3;
  FAILS(gemma_open(&o, &model, &error), GEMMA_USAGE, "size");
}

static void texts(gemma_model *model) {
  const char *text = "The capital of France.";
  int32_t ids[64] = {0};
  size_t count = 64, bytes = 64, few = 2, none = 0;
  char back[64];
  EXPECT(gemma_encode(model, text, strlen(text), GEMMA_BOS, ids, &count,
                      &error) == GEMMA_OK);
  EXPECT(count > 2 && count < 64);
  EXPECT(gemma_decode(model, ids, count, 0, back, &bytes, &error) == GEMMA_OK);
  EXPECT(bytes == strlen(text) && !strcmp(back, text));
  EXPECT(gemma_encode(model, text, strlen(text), GEMMA_BOS, ids, &few,
                      &error) == GEMMA_OK);
  EXPECT(few == count);
  EXPECT(gemma_decode(model, ids, count, 0, NULL, &none, &error) == GEMMA_OK);
  EXPECT(none == bytes);
  FAILS(gemma_encode(model, "\xc3", 1, 0, NULL, &count, &error),
        GEMMA_BAD_INPUT, "UTF-8");
  ids[0] = -1;
  FAILS(gemma_decode(model, ids, 1, 0, NULL, &bytes, &error), GEMMA_BAD_INPUT,
        "ids[0]");
  count = 0;
  EXPECT(gemma_render(model, question, NULL, &count, &error) == GEMMA_OK &&
         count > 5);
  EXPECT(strstr(gemma_info(model), "\"vocab\":"));
}

static void forms(gemma_model *model) {
  gemma_request r = greedy(model);
  const char *stops[] = {"Paris"};
  answer a;
  r.chat = question;
  r.grammar = "root ::= \"no\" | \"never\"";
  ask(model, &r, &a);
  EXPECT(!strcmp(a.text, "no") || !strcmp(a.text, "never"));
  EXPECT(a.finish == GEMMA_STOPPED);
  r.grammar = NULL;
  r.json_schema = "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": "
                  "\"boolean\"}}, \"required\": [\"a\"], "
                  "\"additionalProperties\": false}";
  ask(model, &r, &a);
  EXPECT(strstr(a.text, "true") || strstr(a.text, "false"));
  EXPECT(a.text[0] == '{');
  r.json_schema = NULL, r.max_tokens = 3;
  ask(model, &r, &a);
  EXPECT(a.finish == GEMMA_LENGTH && a.count == 3 && a.usage.generated == 3);
  r.max_tokens = 0;
  ask(model, &r, &a);
  EXPECT(a.finish == GEMMA_LENGTH && a.count == 0);
  r.max_tokens = -1, r.stops = stops, r.stop_count = 1;
  ask(model, &r, &a);
  EXPECT(a.finish == GEMMA_STOPPED && strstr(a.text, "capital") &&
         !strstr(a.text, "Paris"));
  /* A demanded call. */
  r.stops = NULL, r.stop_count = 0;
  r.chat =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"Weather in "
      "Paris?\"}], \"tool_choice\": \"required\","
      "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": "
      "\"weather\", \"parameters\": {\"type\": "
      "\"object\", \"properties\": {\"cold\": {\"type\": \"boolean\"}}, "
      "\"required\": [\"cold\"], "
      "\"additionalProperties\": false}}}], \"parallel_tool_calls\": false}";
  ask(model, &r, &a);
  EXPECT(!strncmp(a.calls, "weather{\"cold\":", 15) &&
         a.finish == GEMMA_CALLED);
}

static void endless(gemma_model *model, gemma_request *r,
                    gemma_generation **g) {
  *r = greedy(model);
  r->text = "a", r->ignore_stop = 1;
  EXPECT(gemma_start(model, r, g, &error) == GEMMA_OK);
}

static void cancelled(gemma_model *model) {
  gemma_request r;
  gemma_generation *g;
  gemma_piece piece = {.size = sizeof piece};
  answer a;
  endless(model, &r, &g);
  EXPECT(gemma_next(g, 0, &piece, &error) == GEMMA_OK);
  gemma_cancel(g);
  read_all(g, &a);
  EXPECT(a.finish == GEMMA_CANCELLED && a.code == GEMMA_OK);
  EXPECT(gemma_next(g, 0, &piece, &error) == GEMMA_OK &&
         piece.kind == GEMMA_END);
  gemma_end(g);
}

/* A model that is closed under its generation. */
static void closed(const gemma_options *options) {
  gemma_request r;
  gemma_generation *g;
  gemma_model *model;
  answer a;
  EXPECT(gemma_open(options, &model, &error) == GEMMA_OK);
  endless(model, &r, &g);
  gemma_close(model);
  read_all(g, &a);
  EXPECT(a.finish == GEMMA_CANCELLED);
  gemma_cancel(g);
  gemma_end(g);
}

typedef struct job {
  gemma_model *model;
  answer got;
} job;

static void *work(void *given) {
  job *j = given;
  gemma_request r = greedy(j->model);
  r.chat = question;
  ask(j->model, &r, &j->got);
  return NULL;
}

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : NULL;
  gemma_options options = {.size = sizeof options,
                           .path = path,
                           .context = 512,
                           .slots = 2,
                           .threads = 2};
  gemma_model *models[2];
  job jobs[6];
  pthread_t threads[6];
  struct sigaction before, after;

  EXPECT(!strcmp(gemma_version(), GEMMA_VERSION));
  sigaction(SIGBUS, NULL, &before);
  wrong_options(path);
  for (int i = 0; i < 2; ++i)
    EXPECT(gemma_open(&options, &models[i], &error) == GEMMA_OK);
  sigaction(SIGBUS, NULL, &after);
  EXPECT(before.sa_handler == after.sa_handler);
  nulls(models[0]);
  wrong_requests(models[0]);
  texts(models[0]);
  forms(models[1]);
  cancelled(models[0]);
  closed(&options);

  for (int i = 0; i < 6; ++i) {
    jobs[i].model = models[i % 2];
    EXPECT(!pthread_create(&threads[i], NULL, work, &jobs[i]));
  }
  for (int i = 0; i < 6; ++i)
    pthread_join(threads[i], NULL);
  for (int i = 0; i < 6; ++i) {
    EXPECT(jobs[i].got.finish == GEMMA_STOPPED &&
           jobs[i].got.count == jobs[0].got.count);
    EXPECT(!memcmp(jobs[i].got.ids, jobs[0].got.ids,
                   jobs[0].got.count * sizeof(int32_t)));
  }
  for (size_t i = 0; i < jobs[0].got.count; ++i)
    printf("%d\n", jobs[0].got.ids[i]);
  gemma_close(models[0]);
  gemma_close(models[1]);
  return 0;
}
