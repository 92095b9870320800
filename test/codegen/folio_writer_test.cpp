// Pieces written from several threads in any order give the file that one write
// gives; nothing outside the range is touched, and errors are reported.
#include "codegen/FolioWriter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <numeric>
#include <random>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace gemmac;

namespace {

TEST(FolioWriter, AnyOrderFromSeveralThreads) {
  constexpr uint64_t window = 2 << 20, begin = 70'000;
  std::mt19937 random(3);
  // Pieces from a few bytes to several windows, some ending at a window.
  std::vector<uint64_t> cuts = {0};
  for (int i = 0; i < 40; ++i) {
    uint64_t size = i % 5 == 0 ? 3 * window + random() % window
                    : i % 2    ? 1 + random() % 1000
                               : random() % window;
    uint64_t at = cuts.back() + size;
    cuts.push_back(i % 7 ? at : at + window - (begin + at) % window);
  }
  std::vector<uint8_t> want(cuts.back());
  for (uint8_t &byte : want)
    byte = uint8_t(random());
  FILE *file = tmpfile();
  ASSERT_TRUE(file);
  const int fd = fileno(file);
  const std::vector<uint8_t> head(begin, 0xaa);
  ASSERT_EQ(pwrite(fd, head.data(), begin, 0), ssize_t(begin));
  std::vector<size_t> order(cuts.size() - 1);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  FolioWriter writer(fd, begin, begin + want.size());
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (size_t i = t; i < order.size(); i += 3) {
        size_t piece = order[i];
        EXPECT_TRUE(writer.write(&want[cuts[piece]],
                                 cuts[piece + 1] - cuts[piece],
                                 begin + cuts[piece]));
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  std::vector<uint8_t> got(begin + want.size() + 1);
  ASSERT_EQ(pread(fd, got.data(), got.size(), 0), ssize_t(got.size() - 1));
  EXPECT_TRUE(std::equal(head.begin(), head.end(), got.begin()));
  EXPECT_TRUE(std::equal(want.begin(), want.end(), got.begin() + begin));
  fclose(file);
}

TEST(FolioWriter, NothingToWrite) {
  FILE *file = tmpfile();
  ASSERT_TRUE(file);
  FolioWriter writer(fileno(file), 4096, 4096);
  const uint8_t byte = 0;
  EXPECT_TRUE(writer.write(&byte, 0, 4096));
  EXPECT_EQ(lseek(fileno(file), 0, SEEK_END), 0);
  fclose(file);
}

TEST(FolioWriter, FullDevice) {
  const int fd = open("/dev/full", O_WRONLY);
  ASSERT_GE(fd, 0);
  FolioWriter writer(fd, 0, 4 << 20);
  const std::vector<uint8_t> bytes(1000, 1);
  EXPECT_FALSE(writer.write(bytes.data(), bytes.size(), 0));
  EXPECT_EQ(errno, ENOSPC);
  close(fd);
}

} // namespace
