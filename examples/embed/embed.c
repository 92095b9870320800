/* A model inside a C program: asks it something and prints the answer as it
 * comes. usage: embed TEXT [WEIGHTS of a static library] */
#include <gemma.h>

#include <stdio.h>
#include <string.h>

static int failed(const gemma_error *error) {
  fprintf(stderr, "embed: error: %s\n", error->text);
  return error->code;
}

/* {"messages": [{"role": "user", "content": TEXT}]} */
static void write_chat(const char *text, char *chat, size_t room) {
  size_t n = (size_t)snprintf(
      chat, room, "{\"messages\": [{\"role\": \"user\", \"content\": \"");
  for (; *text && n + 16 < room; ++text)
    n += (size_t)snprintf(chat + n, room - n,
                          *text == '"' || *text == '\\' ? "\\%c"
                          : (unsigned char)*text < ' '  ? "\\u%04x"
                                                        : "%c",
                          *text);
  snprintf(chat + n, room - n, "\"}]}");
}

int main(int argc, char **argv) {
  gemma_options options = {.size = sizeof options,
                           .path = argc > 2 ? argv[2] : NULL};
  gemma_request request = {.size = sizeof request};
  gemma_piece piece = {.size = sizeof piece};
  gemma_usage usage = {.size = sizeof usage};
  gemma_model *model;
  gemma_generation *answer;
  gemma_error error;
  char chat[4096];

  if (argc < 2) {
    fprintf(stderr, "usage: embed TEXT [WEIGHTS]\n");
    return GEMMA_USAGE;
  }
  if (strcmp(gemma_version(), GEMMA_VERSION) != 0)
    fprintf(stderr, "note: built for %s, running with %s\n", GEMMA_VERSION,
            gemma_version());
  if (gemma_open(&options, &model, &error))
    return failed(&error);
  write_chat(argv[1], chat, sizeof chat);
  if (gemma_defaults(model, &request, &error))
    return failed(&error);
  request.chat = chat;
  request.temperature = 0;
  if (gemma_start(model, &request, &answer, &error))
    return failed(&error);
  do {
    if (gemma_next(answer, -1, &piece, &error))
      return failed(&error);
    if (piece.kind == GEMMA_TEXT)
      fwrite(piece.text, 1, piece.bytes, stdout), fflush(stdout);
  } while (piece.kind != GEMMA_END);
  gemma_usage_of(answer, &usage, &error);
  printf("\n");
  fprintf(stderr, "%lld tokens read, %lld written\n", (long long)usage.prompt,
          (long long)usage.generated);
  gemma_end(answer);
  gemma_close(model);
  return 0;
}
