// See work.h: states of slots to files and back, some megabytes between two
// steps. A slot that has a task is busy and in no step.
#include "runtime/abi.h"
#include "runtime/host/clock.h"
#include "runtime/serve/work.h"

#include <algorithm>
#include <new>

namespace gm {

// More wait for nobody's good.
enum : int64_t { MOST_TASKS = 64 };

Status Scheduler::Work::submit(Task task) {
  if (task.slot < 0 || task.slot >= plan.slots)
    return failure(USAGE, "there is no slot %d, slots are 0 to %lld", task.slot,
                   (long long)plan.slots - 1);
  std::lock_guard lock(mutex);
  if (!broken.ok())
    return broken;
  if (stopping || draining)
    return failure(RUN_ERROR, "no more is saved or restored: it is ending");
  if (open_tasks >= MOST_TASKS)
    return failure(RESOURCES,
                   "%lld tasks of slots wait already, try again later",
                   (long long)open_tasks);
  ++open_tasks;
  ++unfinished;
  new_tasks.push_back(std::move(task));
  wake.notify_one();
  return {};
}

// The one that has begun goes on; if there is none, the first whose slot is
// idle begins.
void Scheduler::Work::work_on_slots() {
  task_waits = false;
  auto next = std::find_if(tasks.begin(), tasks.end(),
                           [](const Task &task) { return task.since != 0; });
  if (next == tasks.end())
    next = std::find_if(tasks.begin(), tasks.end(), [&](const Task &task) {
      return !prefixes.is_busy(task.slot);
    });
  if (next == tasks.end())
    return;
  bool ended;
  try {
    ended = next->since ? advance(*next) : begin(*next);
  } catch (const std::bad_alloc &) {
    prefixes.forget(next->slot);
    end(*next, failure(RESOURCES, "no memory left"));
    ended = true;
  }
  if (ended)
    tasks.erase(next);
}

// True: it has ended.
bool Scheduler::Work::begin(Task &task) {
  const int32_t slot = task.slot;
  const int64_t length = prefixes.length(slot), now = now_ns();
  Status s;
  if (task.wanted && !task.wanted())
    return end(task, failure(RUN_ERROR, "nobody waits for it")), true;
  switch (task.what) {
  case SlotTask::Erase:
    prefixes.forget(slot);
    task.tokens = length;
    task.since = now;
    return end(task, {}), true;
  case SlotTask::Save:
    if (!has_pages({slot, length, length}))
      return task_waits = true, false;
    task.writer = std::make_unique<SlotWriter>(program, slot);
    task.tokens = length;
    s = task.writer->begin(prefixes.ids(slot), task.file);
    break;
  case SlotTask::Restore:
    if (!task.reader) {
      task.reader = std::make_unique<SlotReader>(program, slot);
      if (s = task.reader->open(task.file); !s.ok())
        return end(task, s), true;
    }
    const auto rows = int64_t(task.reader->ids().size());
    if (rows > room)
      return end(task,
                 failure(BAD_INPUT,
                         "'%.200s' holds %lld tokens, but a "
                         "sequence %lld",
                         task.file.c_str(), (long long)rows, (long long)room)),
             true;
    prefixes.forget(slot);
    if (!has_pages({slot, 0, rows}))
      return task_waits = true, false;
    while (pages_left(engine) < (rows + GM_PAGE_KEYS - 1) / GM_PAGE_KEYS &&
           prefixes.drop())
      ;
    task.tokens = rows;
    s = task.reader->begin();
    break;
  }
  if (!s.ok())
    return end(task, s), true;
  prefixes.hold(slot);
  task.since = now;
  return false;
}

bool Scheduler::Work::advance(Task &task) {
  bool done = false;
  Status s =
      task.writer ? task.writer->advance(done) : task.reader->advance(done);
  if (s.ok() && !done)
    return false;
  if (task.reader && s.ok())
    prefixes.set(task.slot, task.reader->ids());
  if (task.reader && !s.ok())
    prefixes.forget(task.slot);
  else
    prefixes.release(task.slot);
  return end(task, s), true;
}

void Scheduler::Work::end(Task &task, const Status &status) {
  SlotDone done;
  done.status = status;
  if (status.ok()) {
    done.tokens = task.tokens;
    done.bytes = task.writer   ? task.writer->bytes()
                 : task.reader ? task.reader->bytes()
                               : 0;
    done.ns = now_ns() - task.since;
  }
  try {
    publish(); // whoever hears of it finds it so
    task.done(done);
  } catch (const std::bad_alloc &) {
  }
  std::lock_guard lock(mutex);
  --open_tasks;
  --unfinished;
  ended.notify_all();
}

} // namespace gm
