// One connection of an HttpServer: reads a request, has it handled, writes the
// answer, and so on until one side closes. The server's own; everything here
// happens on its thread.
#pragma once

#include "runtime/serve/asio.h"
#include "runtime/serve/http.h"

#include <atomic>
#include <optional>
#include <unordered_set>

namespace gm {

class Connection;

// What the connections of a server share.
struct HttpShared {
  explicit HttpShared(HttpServer::Settings settings)
      : settings(std::move(settings)) {}
  HttpServer::Settings settings;
  std::atomic<int64_t> open = 0; // connections that are not closed
  int64_t body_bytes = 0;        // that requests hold
  bool draining = false;
  asio::io_context io{1};
  asio::io_context jobs; // requests, handled by the workers
  // Closed ones stay until the server's thread drops them: whoever answers
  // may be the last to let one go, on a thread of his own.
  std::unordered_set<std::shared_ptr<Connection>> all;
};

// One request and the state of its answer.
struct Exchange {
  HttpRecord record;
  int64_t received = 0;
  std::atomic<bool> left = false;
  std::function<void()> when_left;
  bool begun = false, ended = false; // the answer
  bool head_only = false, chunks = true, keep = true;
  int64_t body_bytes = 0; // of HttpShared::body_bytes
};

class Connection : public std::enable_shared_from_this<Connection> {
public:
  Connection(HttpShared &shared, asio::ip::tcp::socket socket);
  ~Connection();

  void start();
  // Answers with an error and closes, whatever the client wants.
  void refuse(int status, const std::string &why);
  // Closes it if its time is over.
  void check(int64_t now);
  // No further request; what waits for one is closed.
  void drain();
  bool idle() const { return state == Idle; }
  bool closed() const { return state == Closed; }
  int64_t idle_since() const { return since; }
  void close();

  // The answer to `exchange`, ignored if it is another one's turn.
  void begin(const std::shared_ptr<Exchange> &exchange, int status,
             const std::string &type, int64_t length,
             const HttpHeaders &headers);
  void write(const std::shared_ptr<Exchange> &exchange,
             const std::string &piece);
  void end(const std::shared_ptr<Exchange> &exchange);
  // The answer will not be finished.
  void abandon(const std::shared_ptr<Exchange> &exchange);

  HttpShared &shared;

private:
  enum State { Idle, Head, Body, Handling, Lingering, Closed };

  void await_request();
  void read_head();
  void take_head();
  void read_body();
  void take_body(size_t bytes);
  void fail(const boost::system::error_code &error);
  void handle();
  void watch();
  void lose();
  void send();
  void sent(size_t bytes);
  void finish();
  void log();
  void linger();
  void discard();
  void set_state(State next, double seconds);
  bool reserve(int64_t bytes);
  // Calls `then(error, bytes)` with what an operation gives, unless the
  // connection is closed; a failure of memory closes it.
  template <typename Then>
  auto guarded(Then then);

  using Parser = beast::http::request_parser<beast::http::string_body>;
  asio::ip::tcp::socket socket;
  beast::flat_buffer buffer;
  std::optional<Parser> parser;
  State state = Idle;
  int64_t since = 0, deadline = 0;
  std::shared_ptr<Exchange> exchange;
  std::string queued, sending; // bytes of answers
  size_t sent_of = 0;          // of `sending`
  bool writing = false, watching = false;
};

} // namespace gm
