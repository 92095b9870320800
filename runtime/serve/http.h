// The HTTP side of `serve`: connections, limits, deadlines, and answers in one
// piece or as they come. Everything of it runs on the thread that calls `run`;
// requests are handled on threads of its own, so that none delays another's
// stream. Knows bytes and headers; must not know JSON, tokens or models.
#pragma once

#include "runtime/gemma.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gm {

struct HttpLimits {
  int64_t connections = 256;        // open at a time
  int64_t header_bytes = 16 << 10;  // of a request
  int64_t body_bytes = 32 << 20;    // of a request
  int64_t bodies_bytes = 128 << 20; // of all requests at a time
  int64_t unsent_bytes = 4 << 20;   // of an answer that a client does not read
  // For a header, and between two bytes that a client takes of an answer. A
  // body has as long, and a second more for each 64 KiB.
  double seconds = 30;
  double idle_seconds = 75;  // between two requests
  double drain_seconds = 30; // for what is under way when it is to end
};

struct HttpRequest {
  std::string id;                  // the client's x-request-id, or a new one
  std::string method, path, query; // path: %XX are bytes
  std::string body;
  std::string type;         // content-type, lower case, no parameters
  std::string key;          // bearer token or x-api-key, empty: none
  std::string host, origin; // as they are, empty: none
  int64_t received = 0;     // ns of the clock of runtime/host/clock.h
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// What a request did, for a log.
struct HttpRecord {
  std::string id, method, path;
  int status = 0;
  int64_t ns = 0, received_bytes = 0, sent_bytes = 0;
  bool left = false; // the client, before the end of the answer
};

// The answer to one request; from any thread. One that goes away unanswered is
// an error 500, one that goes away unfinished closes the connection.
class HttpReply {
public:
  virtual ~HttpReply() = default;
  // Of this answer; before it begins.
  virtual void add(HttpHeaders headers) = 0;
  virtual void send(int status, std::string type, std::string body) = 0;
  // An answer that comes in pieces: begin, write ..., end.
  virtual void begin(int status, std::string type) = 0;
  virtual void write(std::string piece) = 0;
  virtual void end() = 0;
  // Called once, on the server's thread, if the client leaves before the end,
  // at once if it has left. It must not hold the reply.
  virtual void when_left(std::function<void()> call) = 0;
  virtual bool left() const = 0;
};

class HttpServer {
public:
  using Handler =
      std::function<void(HttpRequest, const std::shared_ptr<HttpReply> &)>;
  struct Settings {
    std::string host = "127.0.0.1"; // a numeric address or localhost
    int64_t port = 8080;            // 0: one that is free
    int64_t workers = 2;            // threads that handle requests
    HttpLimits limits;
    HttpHeaders headers; // of every answer
    Handler handler;
    // The body of an error that the server finds itself.
    std::function<std::string(int status, const std::string &why)> error;
    std::function<void(const HttpRecord &)> log; // may be empty
    // Asked a few times a second: true ends it, when all answers are given or
    // after drain_seconds.
    std::function<bool()> ends;
  };

  explicit HttpServer(Settings settings);
  ~HttpServer();
  HttpServer(const HttpServer &) = delete;

  // Fails as check_host does, and with RESOURCES if it cannot be listened to.
  Status listen();
  std::string url() const; // after listen
  // Until `ends` says so; then no handler runs any more. False: some answers
  // were cut off.
  bool run();
  // Connections that are open; from any thread.
  int64_t connections() const;

private:
  struct Work;
  std::unique_ptr<Work> work;
};

// USAGE if it is no numeric address and not localhost: no name is looked up.
Status check_host(const std::string &host);
// Whether what listens at `host` is reached from this machine alone.
bool is_loopback(const std::string &host);

} // namespace gm
