// See formats.h. Each takes less than its RFC where that needs more than a
// pattern, never more: days end at 28 unless the month is sure to have more.
#include "runtime/grammar/formats.h"

#include <string>

namespace gm::grammar {
namespace {

#define DATE                                                                   \
  "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-(?:(?:0[13578]|1["   \
  "02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-"                             \
  "(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
#define CLOCK "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?"
#define TIME CLOCK "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define BYTE "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 BYTE "(?:\\." BYTE "){3}"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOST LABEL "(?:\\." LABEL "){0,3}"
#define H16 "[0-9A-Fa-f]{1,4}"
#define URI_CHARS "(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
#define URI_END                                                                \
  "(?:\\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"                \
  "(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
#define AUTHORITY "[A-Za-z0-9._~-]+(?::[0-9]{1,5})?"

const struct {
  std::string_view name, pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "T" TIME "$"},
    {"duration",
     "^P(?:[0-9]{1,9}W|(?:[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?|[0-9]{1,"
     "9}M(?:[0-9]{1,9}D)?|[0-9]{1,9}D)(?:T(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]"
     "{1,9}S)?)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S))?|T(?:[0-9]{1,9}H(?:"
     "[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S))"
     "$"},
    {"uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-"
             "[0-9a-fA-F]{12}$"},
    {"ipv4", "^" IPV4 "$"},
    {"ipv6", "^(?:(?:" H16 ":){7}" H16 "|(?:" H16 ":){1,6}:" H16 "|::(?:" H16
             ":){0,6}" H16 "|::)$"},
    {"hostname", "^" HOST "$"},
    {"idn-hostname", "^" HOST "$"},
    {"email", "^[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@" HOST "$"},
    {"idn-email", "^[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@" HOST "$"},
    {"uri", "^[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY "(?:/" URI_CHARS
            ")?|[A-Za-z0-9._~-]" URI_CHARS ")" URI_END "$"},
    {"iri", "^[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY "(?:/" URI_CHARS
            ")?|[A-Za-z0-9._~-]" URI_CHARS ")" URI_END "$"},
    {"uri-reference", "^/?(?:[A-Za-z0-9._~-]" URI_CHARS ")?" URI_END "$"},
    {"iri-reference", "^/?(?:[A-Za-z0-9._~-]" URI_CHARS ")?" URI_END "$"},
    {"json-pointer", "^(?:/(?:[^~/]|~0|~1)*)*$"},
    {"relative-json-pointer",
     "^(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~0|~1)*)*)$"},
};

} // namespace

std::string_view format_pattern(std::string_view name) {
  for (const auto &f : formats)
    if (f.name == name)
      return f.pattern;
  return {};
}

} // namespace gm::grammar
