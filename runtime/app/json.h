// Builds nested JSON for --json; commas and quotes are its business.
#pragma once

#include "runtime/app/cli.h"

#include <cmath>

namespace gm {

class Json {
public:
  std::string out = "{"; // the caller closes it

  void key(const char *name) {
    separate();
    out += json_string(name) + ": ";
    fresh = true;
  }
  void open(const char *name, char bracket) { key(name), begin(bracket); }
  void begin(char bracket) { separate(), out += bracket, fresh = true; }
  void close(char bracket) { out += bracket, fresh = false; }
  void raw(const std::string &value) { separate(), out += value; }
  void add(const char *name, const std::string &value) {
    key(name), raw(json_string(value));
  }
  void add(const char *name, const char *value) {
    add(name, std::string(value));
  }
  void add(const char *name, uint64_t value) {
    key(name), raw(std::to_string(value));
  }
  void add(const char *name, int64_t value) {
    key(name), raw(std::to_string(value));
  }
  void add(const char *name, int32_t value) { add(name, int64_t(value)); }
  void add(const char *name, bool value) {
    key(name), raw(value ? "true" : "false");
  }
  // null if not finite: JSON has no such numbers.
  void add(const char *name, double value) {
    key(name), raw(std::isfinite(value) ? exact(value) : "null");
  }
  void add(const char *name, float value) {
    key(name), raw(std::isfinite(value) ? exact(value) : "null");
  }

private:
  void separate() {
    if (!fresh)
      out += ", ";
    fresh = false;
  }
  bool fresh = true;
};

} // namespace gm
