// See http.h: the listener, the deadlines, the threads. A connection is
// http_connection.h's.
#include "runtime/host/clock.h"
#include "runtime/serve/http_connection.h"
#include "runtime/serve/http_text.h"

#include <thread>

namespace gm {

using Error = boost::system::error_code;
using asio::ip::tcp;

namespace {

constexpr auto kTick = std::chrono::milliseconds(100);
constexpr int64_t kSecond = 1000000000;

// The numeric address that `host` names.
bool address_of(std::string host, asio::ip::address &address) {
  if (host == "localhost")
    host = "127.0.0.1";
  if (host.size() > 2 && host[0] == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  Error error;
  address = asio::ip::make_address(host, error);
  return !error;
}

} // namespace

bool is_loopback(const std::string &host) {
  asio::ip::address address;
  if (!address_of(host, address))
    return false;
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6())
        .is_loopback();
  return address.is_loopback();
}

Status check_host(const std::string &host) {
  asio::ip::address address;
  if (address_of(host, address))
    return {};
  return failure(USAGE,
                 "--host expects an address such as 127.0.0.1, 0.0.0.0 or ::1, "
                 "or localhost, got '%.100s'",
                 host.c_str());
}

struct HttpServer::Work : HttpShared {
  explicit Work(Settings settings)
      : HttpShared(std::move(settings)), acceptor(io), timer(io),
        busy(jobs.get_executor()) {}
  ~Work() { join(); }

  void accept();
  void drop_closed();
  void take(tcp::socket socket);
  void tick();
  void drain();
  void join();
  Status start_workers();

  tcp::acceptor acceptor;
  asio::steady_timer timer;
  asio::executor_work_guard<asio::io_context::executor_type> busy;
  std::vector<std::thread> workers;
  bool accepting = false, ticking = false, whole = true;
  int64_t drained_at = 0; // when it must be over
};

void HttpServer::Work::drop_closed() {
  std::erase_if(all, [](const auto &each) {
    return each->closed() && each.use_count() == 1;
  });
}

// A connection beyond the limit takes the place of the one that has been idle
// the longest, or is refused.
void HttpServer::Work::take(tcp::socket socket) {
  drop_closed();
  const bool full = open >= settings.limits.connections;
  auto connection = std::make_shared<Connection>(*this, std::move(socket));
  all.insert(connection);
  if (!full)
    return connection->start();
  std::shared_ptr<Connection> oldest;
  for (const auto &each : all)
    if (each != connection && each->idle() &&
        (!oldest || each->idle_since() < oldest->idle_since()))
      oldest = each;
  if (!oldest)
    return connection->refuse(503, "too many connections, try again");
  oldest->close();
  connection->start();
}

void HttpServer::Work::accept() {
  acceptor.async_accept([this](const Error &error, tcp::socket socket) {
    accepting = false;
    if (draining || error == asio::error::operation_aborted)
      return;
    // Out of descriptors or memory: the next tick tries again.
    if (error && error != asio::error::connection_aborted)
      return;
    if (!error)
      take(std::move(socket));
    accept();
  });
  accepting = true;
}

void HttpServer::Work::drain() {
  draining = true;
  drained_at = now_ns() + int64_t(settings.limits.drain_seconds * kSecond);
  Error ignored;
  acceptor.close(ignored);
}

void HttpServer::Work::tick() {
  timer.expires_after(kTick);
  timer.async_wait([this](const Error &) {
    ticking = false;
    if (!draining && settings.ends && settings.ends())
      drain();
    const int64_t now = now_ns();
    for (const auto &each : all) {
      each->check(now);
      if (draining)
        each->drain();
    }
    drop_closed();
    if (draining && (!open || now > drained_at)) {
      whole = !open;
      return io.stop();
    }
    if (!draining && !accepting)
      accept();
    tick();
  });
  ticking = true;
}

Status HttpServer::Work::start_workers() {
  for (int64_t i = 0; i < settings.workers; ++i)
    try {
      workers.emplace_back([this] {
        for (;;)
          try {
            jobs.run();
            return;
          } catch (...) {
            // What was handled says so itself.
          }
      });
    } catch (const std::exception &) {
      break; // fewer do
    }
  if (workers.empty())
    return failure(RESOURCES, "no thread can be started to handle requests");
  return {};
}

void HttpServer::Work::join() {
  busy.reset();
  jobs.stop();
  for (std::thread &each : workers)
    each.join();
  workers.clear();
}

HttpServer::HttpServer(Settings settings)
    : work(std::make_unique<Work>(std::move(settings))) {}
HttpServer::~HttpServer() = default;

Status HttpServer::listen() {
  asio::ip::address address;
  const std::string &host = work->settings.host;
  if (Status s = check_host(host); !s.ok())
    return s;
  address_of(host, address);
  const tcp::endpoint at(address, uint16_t(work->settings.port));
  Error error;
  work->acceptor.open(at.protocol(), error);
  if (!error)
    work->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error)
    work->acceptor.bind(at, error);
  if (!error)
    work->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return failure(RESOURCES, "%.100s port %lld cannot be listened to: %s",
                   host.c_str(), (long long)work->settings.port,
                   error.message().c_str());
  return work->start_workers();
}

std::string HttpServer::url() const {
  Error error;
  const tcp::endpoint at = work->acceptor.local_endpoint(error);
  std::string host = at.address().to_string();
  if (at.address().is_v6())
    host = "[" + host + "]";
  return "http://" + host + ":" + std::to_string(at.port());
}

bool HttpServer::run() {
  for (;;)
    try {
      if (!work->ticking)
        work->tick();
      if (!work->accepting && !work->draining)
        work->accept();
      work->io.run();
      work->join();
      return work->whole;
    } catch (...) {
      // A connection that found no memory is gone; the others go on.
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

int64_t HttpServer::connections() const { return work->open; }

} // namespace gm
