// See slot_file.h.
#include "runtime/app/slot_file.h"
#include "runtime/abi.h"
#include "runtime/manifest_generated.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gm {

namespace {

// Pieces that one call of `advance` moves: others wait for it.
constexpr uint64_t kAtOnce = 32 << 20;

struct Head {
  char magic[8];
  uint64_t program; // identity_of
  int64_t rows, first;
};
constexpr char kMagic[8] = {'G', 'M', 'S', 'L', 'O', 'T', '\n', 1};

// Equal for programs whose rows have the same bits: the same code on the same
// weights, and on the same kind of card, since tensor cores round each in its
// own way.
uint64_t identity_of(const Program &program) {
  const gemmac::manifest::Program &p = program.manifest();
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const flatbuffers::String *text :
       {p.compiler(), p.weights_id(), p.cache_format(), p.target()->name()})
    if (text)
      XXH3_64bits_update(&state, text->c_str(), text->size() + 1);
  if (p.sections())
    for (const gemmac::manifest::Section *section : *p.sections())
      if (section->name()->string_view() == "code") {
        const uint64_t hash = section->hash();
        XXH3_64bits_update(&state, &hash, sizeof hash);
      }
  if (DeviceFacts card{}; find_device(program.device, card).ok()) {
    XXH3_64bits_update(&state, card.name, strnlen(card.name, sizeof card.name));
    XXH3_64bits_update(&state, &card.sm, sizeof card.sm);
  }
  return XXH3_64bits_digest(&state);
}

} // namespace

bool is_slot_file(const std::string &path) {
  char magic[sizeof kMagic];
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const bool is = fd >= 0 && ::read(fd, magic, sizeof magic) == sizeof magic &&
                  !memcmp(magic, kMagic, sizeof magic);
  if (fd >= 0)
    close(fd);
  return is;
}

// The pieces of a slot in the order of the file, through one buffer.
class SlotPieces {
public:
  SlotPieces(const Program &program, int32_t slot)
      : program(program), slot(slot) {
    XXH3_64bits_reset(&hash);
  }

  // Of `rows` rows with local pages from row `first` on.
  void plan(int64_t rows, int64_t first) {
    begins[GM_LOCAL] = at = first / GM_PAGE_KEYS;
    end = (rows + GM_PAGE_KEYS - 1) / GM_PAGE_KEYS;
    uint64_t largest = 0;
    for (int k : {GM_LOCAL, GM_GLOBAL})
      while (uint64_t bytes =
                 piece_bytes(*program.engine, k, int64_t(sizes[k].size()))) {
        sizes[k].push_back(bytes);
        largest = std::max(largest, bytes);
      }
    buffer.resize(largest);
    settle();
  }
  // Of all pieces.
  uint64_t sum() const {
    uint64_t all = 0;
    for (int k : {GM_LOCAL, GM_GLOBAL})
      for (uint64_t bytes : sizes[k])
        all += bytes * uint64_t(end - begins[k]);
    return all;
  }

  bool done() const { return kind > GM_GLOBAL; }
  uint64_t bytes() const { return sizes[kind][array]; }
  uint8_t *data() { return buffer.data(); }
  // A slot may hold the later ones of the local pages only.
  Status move(bool put) {
    Engine &engine = *program.engine;
    if (kind == GM_LOCAL && at * GM_PAGE_KEYS < slot_state(engine, slot).first)
      return {};
    return slot_piece(engine, slot, {kind, at, int64_t(array)}, data(), put);
  }
  void next() {
    if (++array == sizes[kind].size())
      array = 0, ++at;
    settle();
  }

  const Program &program;
  const int32_t slot;
  XXH3_state_t hash;

private:
  // To a kind that has pieces.
  void settle() {
    while (!done() && (sizes[kind].empty() || at == end)) {
      ++kind;
      at = 0;
    }
  }

  std::vector<uint64_t> sizes[2]; // of the arrays of a kind
  std::vector<uint8_t> buffer;
  int64_t begins[2] = {}, end = 0; // pages of a kind
  int kind = GM_LOCAL;
  int64_t at = 0; // page
  size_t array = 0;
};

//===- writing ------------------------------------------------------------===//

SlotWriter::SlotWriter(const Program &program, int32_t slot)
    : pieces(std::make_unique<SlotPieces>(program, slot)) {}

SlotWriter::~SlotWriter() = default;

Status SlotWriter::write(const void *data, size_t bytes) {
  XXH3_64bits_update(&pieces->hash, data, bytes);
  written += bytes;
  return file.write(data, bytes);
}

Status SlotWriter::begin(const std::vector<int32_t> &ids,
                         const std::string &path) {
  if (std::any_of(ids.begin(), ids.end(), [](int32_t id) { return id < 0; }))
    return failure(UNSUPPORTED,
                   "states with pictures or sounds in them cannot be saved");
  const Program &program = pieces->program;
  const SlotState state = slot_state(*program.engine, pieces->slot);
  if (state.rows != int64_t(ids.size()))
    return failure(RUN_ERROR, "a slot has %lld rows, of %zu tokens",
                   (long long)state.rows, ids.size());
  if (Status s = file.create(path); !s.ok())
    return s;
  Head head = {{}, identity_of(program), state.rows, state.first};
  memcpy(head.magic, kMagic, sizeof kMagic);
  pieces->plan(state.rows, state.first);
  if (Status s = write(&head, sizeof head); !s.ok())
    return s;
  return write(ids.data(), ids.size() * sizeof ids[0]);
}

Status SlotWriter::advance(bool &done) {
  const uint64_t end = written + kAtOnce;
  for (; !pieces->done() && written < end; pieces->next()) {
    if (Status s = pieces->move(/*put=*/false); !s.ok())
      return s;
    if (Status s = write(pieces->data(), pieces->bytes()); !s.ok())
      return s;
  }
  done = pieces->done();
  if (!done)
    return {};
  const uint64_t sum = XXH3_64bits_digest(&pieces->hash);
  if (Status s = write(&sum, sizeof sum); !s.ok())
    return s;
  // A damaged one is known by its sum.
  return file.finish(/*durable=*/false);
}

//===- reading ------------------------------------------------------------===//

SlotReader::SlotReader(const Program &program, int32_t slot)
    : pieces(std::make_unique<SlotPieces>(program, slot)) {}

SlotReader::~SlotReader() {
  if (fd >= 0)
    close(fd);
}

Status SlotReader::read(void *data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n =
        ::read(fd, static_cast<char *>(data) + done, bytes - done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return failure(RESOURCES, "cannot read '%.200s': %s", path.c_str(),
                     strerror(errno));
    if (n == 0)
      return failure(BAD_INPUT, "'%.200s' is cut off", path.c_str());
    done += size_t(n);
  }
  return {};
}

Status SlotReader::open(const std::string &from) {
  path = from;
  fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  if (fd < 0 || fstat(fd, &st))
    return failure(BAD_INPUT, "cannot open '%.200s': %s", path.c_str(),
                   strerror(errno));
  Head head;
  if (!S_ISREG(st.st_mode) || st.st_size < off_t(sizeof head))
    return failure(BAD_INPUT, "'%.200s' is not the saved state of a slot",
                   path.c_str());
  if (Status s = read(&head, sizeof head); !s.ok())
    return s;
  if (memcmp(head.magic, kMagic, sizeof kMagic))
    return failure(BAD_INPUT, "'%.200s' is not the saved state of a slot",
                   path.c_str());
  const Program &program = pieces->program;
  if (head.program != identity_of(program))
    return failure(BAD_INPUT,
                   "'%.200s' was saved by another program: states are of one "
                   "compiled model only",
                   path.c_str());
  if (head.rows > program.plan.context)
    return failure(BAD_INPUT,
                   "'%.200s' holds %lld tokens, but the context %lld; start "
                   "with a larger -c",
                   path.c_str(), (long long)head.rows,
                   (long long)program.plan.context);
  total = uint64_t(st.st_size);
  if (head.rows < 0 || head.first < 0 || head.first > head.rows ||
      head.first % GM_PAGE_KEYS)
    return failure(BAD_INPUT, "'%.200s' is damaged: its head is wrong",
                   path.c_str());
  rows.resize(size_t(head.rows));
  first = head.first;
  pieces->plan(head.rows, first);
  const size_t bytes = rows.size() * sizeof rows[0];
  const uint64_t expected =
      sizeof head + bytes + pieces->sum() + sizeof(uint64_t);
  if (total != expected)
    return failure(BAD_INPUT, "'%.200s' expects %llu bytes, has %llu",
                   path.c_str(), (unsigned long long)expected,
                   (unsigned long long)total);
  if (Status s = read(rows.data(), bytes); !s.ok())
    return s;
  XXH3_64bits_update(&pieces->hash, &head, sizeof head);
  XXH3_64bits_update(&pieces->hash, rows.data(), bytes);
  for (int32_t id : rows)
    if (id < 0 || id >= program.vocab())
      return failure(BAD_INPUT, "'%.200s' is damaged: there is no token %d",
                     path.c_str(), id);
  return {};
}

Status SlotReader::begin() {
  return slot_allocate(*pieces->program.engine, pieces->slot,
                       int64_t(rows.size()), first);
}

Status SlotReader::advance(bool &done) {
  Status s;
  for (uint64_t moved = 0; s.ok() && !pieces->done() && moved < kAtOnce;) {
    s = read(pieces->data(), pieces->bytes());
    if (!s.ok())
      break;
    XXH3_64bits_update(&pieces->hash, pieces->data(), pieces->bytes());
    s = pieces->move(/*put=*/true);
    moved += pieces->bytes();
    pieces->next();
  }
  done = pieces->done();
  if (s.ok() && done)
    s = finish();
  if (s.ok())
    return s;
  if (Status emptied = slot_truncate(*pieces->program.engine, pieces->slot, 0);
      !emptied.ok())
    return emptied;
  return s;
}

Status SlotReader::finish() {
  uint64_t sum;
  if (Status s = read(&sum, sizeof sum); !s.ok())
    return s;
  if (sum == XXH3_64bits_digest(&pieces->hash))
    return {};
  return failure(BAD_INPUT, "'%.200s' is damaged: its checksum is wrong",
                 path.c_str());
}

} // namespace gm
