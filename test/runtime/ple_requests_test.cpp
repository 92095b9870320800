// The rows of the table of per-layer embeddings that a step reads are requested
// together before the first is read: one after another they would cost the
// device's latency each. Stands in front of libc's posix_fadvise and pread.
#include "test/runtime/fake_model.h"

#include "runtime/abi.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <vector>

using namespace gm;

namespace {

struct Access {
  bool request; // else it was read
  off_t offset, bytes;
};
std::vector<Access> accesses;

} // namespace

extern "C" int posix_fadvise(int, off_t offset, off_t bytes, int advice) {
  if (advice == POSIX_FADV_WILLNEED)
    accesses.push_back({true, offset, bytes});
  return 0;
}

extern "C" ssize_t pread(int fd, void *to, size_t bytes, off_t offset) {
  accesses.push_back({false, offset, off_t(bytes)});
  return syscall(SYS_pread64, fd, to, bytes, offset);
}

namespace {

class PleRequests : public testing::Test {
protected:
  void SetUp() override {
    path = "/tmp/gm_ple_test." + std::to_string(getpid());
    fake::write_file(path, fake::program_bytes());
    ASSERT_TRUE(open_file(path.c_str(), file).ok());
    Options options;
    options.threads = 1;
    ASSERT_TRUE(make_plan(file, options, plan).ok());
    ASSERT_TRUE(start(file, gm_model, options, plan, engine).ok());
  }
  void TearDown() override {
    stop(engine);
    close_file(file);
    unlink(path.c_str());
    EXPECT_EQ(fake::complaints(), "");
  }

  // A step of `count` rows from position 0, all through body and tail.
  void run(int count) {
    std::vector<Row> rows;
    for (int r = 0; r < count; ++r)
      rows.push_back({(r * 37 + 5) % fake::VOCAB, 0, r, true});
    Job job;
    job.rows = rows.data();
    job.count = count;
    job.ask.output = Output::Hidden;
    accesses.clear();
    ASSERT_TRUE(step(*engine, job).ok());
  }

  std::string path;
  File file;
  Plan plan;
  Engine *engine = nullptr;
};

TEST_F(PleRequests, AllBeforeTheFirstIsRead) {
  for (int count : {2, 8, 9, 64}) {
    run(count);
    const size_t reads = 2 * size_t(count); // of body and of tail
    ASSERT_EQ(accesses.size(), 2 * reads) << count;
    for (size_t i = 0; i < reads; ++i) {
      EXPECT_TRUE(accesses[i].request) << count;
      EXPECT_FALSE(accesses[reads + i].request) << count;
      EXPECT_EQ(accesses[i].offset, accesses[reads + i].offset) << count;
      EXPECT_EQ(accesses[i].bytes, accesses[reads + i].bytes) << count;
    }
  }
}

// Nothing is gained by requesting what is read at once.
TEST_F(PleRequests, OneRowIsOnlyRead) {
  run(1);
  ASSERT_EQ(accesses.size(), 2u);
  EXPECT_FALSE(accesses[0].request || accesses[1].request);
}

} // namespace
