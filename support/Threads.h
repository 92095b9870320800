// Work on several threads, or on fewer where the system does not give as many
// (a limit of processes, a container): that must not end the compiler.
#pragma once

#include <functional>
#include <pthread.h>
#include <vector>

namespace gemmac {

// Calls `work` on this thread and meanwhile on up to `threads` - 1 others.
inline void runOnThreads(int threads, std::function<void()> work) {
  auto enter = [](void *work) -> void * {
    (*static_cast<std::function<void()> *>(work))();
    return nullptr;
  };
  std::vector<pthread_t> others;
  for (pthread_t id; int(others.size()) + 1 < threads &&
                     pthread_create(&id, nullptr, enter, &work) == 0;)
    others.push_back(id);
  work();
  for (pthread_t id : others)
    pthread_join(id, nullptr);
}

} // namespace gemmac
