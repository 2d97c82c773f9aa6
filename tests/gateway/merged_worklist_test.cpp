// Several worklists as one: order, duplicates, what a failure does, and sources of every bad habit.
#include "gateway/merged_worklist.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "mapping/json.h"
#include "mapping/tags.h"

using namespace gateway;
using namespace std::chrono_literals;
namespace tags = mapping::tags;

namespace {

mapping::DataSet step(const std::string& study, const std::string& id,
                      const std::string& patient = "P") {
  mapping::DataSetBuilder builder;
  builder.add(tags::PatientID, mapping::Vr::LO, patient);
  builder.add(tags::StudyInstanceUID, mapping::Vr::UI, study);
  builder.begin_sequence(tags::ScheduledProcedureStepSequence).begin_item();
  builder.add(tags::ScheduledProcedureStepID, mapping::Vr::SH, id);
  return builder.end_item().end_sequence().build().value();
}

/// Answers what it is told to, and remembers what it was asked.
struct Backend : mapping::WorklistService {
  using Answer = std::function<mapping::Outcome(const mapping::OnMatch&, const mapping::Context&)>;
  explicit Backend(Answer how) : answer(std::move(how)) {}
  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override {
    {
      const std::lock_guard lock(mutex);
      asked = search.identifier;
    }
    return answer(on_match, context);
  }
  Answer answer;
  std::mutex mutex;  ///< some tests put one of these in twice
  mapping::DataSet asked;
};

Backend::Answer giving(std::vector<mapping::DataSet> steps,
                       std::uint16_t status = mapping::dimse_status::success) {
  return [steps = std::move(steps), status](const mapping::OnMatch& on_match,
                                            const mapping::Context&) {
    for (const auto& one : steps) {
      if (!on_match({one, true})) return mapping::Outcome{};
    }
    return mapping::Outcome::answered(status);
  };
}

/// Waits for its cancellation or the deadline, as the contract asks of everybody.
mapping::Outcome stall(const mapping::Context& context) {
  while (std::chrono::steady_clock::now() < context.deadline) {
    if (context.cancelled()) return mapping::Outcome::answered(0xFE00);
    std::this_thread::sleep_for(1ms);
  }
  return mapping::Outcome::unknown(mapping::Transaction::search,
                                   mapping::NetworkEvent::response_timeout, "");
}

struct Found {
  mapping::Outcome outcome;
  std::vector<std::string> ids;      ///< patient and step
  std::vector<bool> keys_supported;  ///< of each
  std::vector<std::string> log;
};
using Ids = std::vector<std::string>;

Found search(std::vector<Backend*> backends, bool partial = false,
             const mapping::Context& context = {}, std::size_t wanted = SIZE_MAX) {
  Found found;
  std::mutex mutex;
  std::vector<MergedWorklist::Source> sources;
  for (Backend* backend : backends) {
    sources.push_back({backend, std::string(1, static_cast<char>('a' + sources.size()))});
  }
  MergedWorklist merged(sources, partial, [&](mapping::LogLevel, std::string_view line) {
    const std::lock_guard lock(mutex);
    found.log.emplace_back(line);
  });
  mapping::Search asked;
  const auto thread = std::this_thread::get_id();
  found.outcome = merged.search(
      asked,
      [&](mapping::Match&& match) {
        CHECK(std::this_thread::get_id() == thread);
        CHECK(found.ids.size() < wanted);  // never after a false
        const auto view = match.data_set.view();
        const auto item = view.first_item(tags::ScheduledProcedureStepSequence);
        found.ids.push_back(std::string(view.text(tags::PatientID)) +
                            std::string(item ? item->text(tags::ScheduledProcedureStepID) : ""));
        found.keys_supported.push_back(match.optional_keys_supported);
        return found.ids.size() < wanted;
      },
      context);
  return found;
}

}  // namespace

TEST_CASE("all are asked, and answer in the order of the list, however slow the first is") {
  Backend first([](const mapping::OnMatch& on_match, const mapping::Context&) {
    std::this_thread::sleep_for(30ms);
    on_match({step("1", "A1"), true});
    std::this_thread::sleep_for(30ms);
    on_match({step("1", "A2"), true});
    return mapping::Outcome{};
  });
  Backend second(giving({step("2", "B1"), step("2", "B2")}));
  Backend third(giving({step("3", "C1")}));
  const auto found = search({&first, &second, &third});
  CHECK(found.outcome.good());
  CHECK(found.ids == Ids{"PA1", "PA2", "PB1", "PB2", "PC1"});
  CHECK(found.keys_supported == std::vector<bool>(5, true));
  CHECK(found.log.empty());
}

TEST_CASE("they are asked at the same time: each waits here for the other to be asked") {
  std::mutex mutex;
  std::condition_variable changed;
  int asked = 0;
  const Backend::Answer meet = [&](const mapping::OnMatch&, const mapping::Context&) {
    std::unique_lock lock(mutex);
    ++asked;
    changed.notify_all();
    const bool met = changed.wait_for(lock, 20s, [&] { return asked == 3; });
    return mapping::Outcome::answered(met ? 0x0000 : 0xA700);
  };
  Backend a(meet);
  Backend b(meet);
  Backend c(meet);
  CHECK(search({&a, &b, &c}).outcome.status == 0x0000);
}

TEST_CASE("a step that two of them know is answered once, by the first in the list") {
  Backend first([](const mapping::OnMatch& on_match, const mapping::Context&) {
    std::this_thread::sleep_for(20ms);
    on_match({step("1", "X", "FIRST"), true});
    return mapping::Outcome{};
  });
  Backend second(
      giving({step("1", "X", "SECOND"), step("1", "Y", "SECOND"), step("2", "X", "SECOND")}));
  CHECK(search({&first, &second}).ids == Ids{"FIRSTX", "SECONDY", "SECONDX"});
}

TEST_CASE("steps without both UIDs are never the same; what one says twice stays") {
  Backend first(giving({step("", "X"), step("1", ""), step("1", "X"), step("1", "X")}));
  Backend second(giving({step("", "X"), step("1", "")}));
  CHECK(search({&first, &second}).ids == Ids{"PX", "P", "PX", "PX", "PX", "P"});
}

TEST_CASE("a match with several steps is handed on step by step, known ones left out (F9)") {
  mapping::DataSetBuilder builder;
  builder.add(tags::StudyInstanceUID, mapping::Vr::UI, "1");
  builder.begin_sequence(tags::ScheduledProcedureStepSequence);
  for (const char* id : {"X", "Y", "Z"}) {
    builder.begin_item().add(tags::ScheduledProcedureStepID, mapping::Vr::SH, id).end_item();
  }
  Backend first(giving({step("1", "Y", "")}));
  Backend second(giving({builder.end_sequence().build().value()}));
  CHECK(search({&first, &second}).ids == Ids{"Y", "X", "Z"});
}

TEST_CASE("what tells steps apart is asked for, whatever the caller asks") {
  const std::pair<const char*, const char*> rows[] = {
      {"{}",
       R"({"0020000D":{"vr":"UI"},"00400100":{"vr":"SQ","Value":[{"00400009":{"vr":"SH"}}]}})"},
      {R"({"0020000D":{"vr":"UI","Value":["1.2"]},"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["MR"]}}]}})",
       R"({"0020000D":{"vr":"UI","Value":["1.2"]},"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["MR"]},"00400009":{"vr":"SH"}}]}})"},
      {R"({"00400100":{"vr":"SQ"}})", R"({"0020000D":{"vr":"UI"},"00400100":{"vr":"SQ"}})"},
      {R"({"00400100":{"vr":"LO","Value":["no sequence"]}})",
       R"({"0020000D":{"vr":"UI"},"00400100":{"vr":"LO","Value":["no sequence"]}})"},
      {R"({"00400100":{"vr":"SQ","Value":[{}]}})",
       R"({"0020000D":{"vr":"UI"},"00400100":{"vr":"SQ","Value":[{}]}})"},
  };
  for (const auto& [asked, expected] : rows) {
    Backend backend(giving({}));
    MergedWorklist merged({{&backend, "a"}}, false, [](mapping::LogLevel, std::string_view) {});
    mapping::Search search;
    search.identifier = mapping::read_json(asked).value();
    merged.search(search, [](mapping::Match&&) { return true; }, {});
    CHECK(backend.asked == mapping::read_json(expected).value());
  }
}

TEST_CASE("one failure fails the whole search, and ends the others") {
  Backend good([](const mapping::OnMatch& on_match, const mapping::Context& context) {
    for (int number = 0;; ++number) {
      if (!on_match({step("1", std::to_string(number)), true})) return mapping::Outcome{};
      if (context.cancelled()) return mapping::Outcome::answered(0xFE00);
    }
  });
  Backend bad([](const mapping::OnMatch&, const mapping::Context&) {
    return mapping::Outcome::unreachable(mapping::Transaction::search,
                                         mapping::NetworkEvent::connect_failed, "nobody there");
  });
  for (const auto& backends : {std::vector<Backend*>{&good, &bad}, {&bad, &good}}) {
    const auto found = search(backends);
    CHECK(found.outcome.status == 0xA700);
    CHECK(found.outcome.how == mapping::Outcome::How::unreachable);
    CHECK(found.outcome.failed_worklists == 0);
    REQUIRE(found.log.size() == 1);
    CHECK(found.log[0].find("failed with status A700: the search fails") != std::string::npos);
  }
}

TEST_CASE("a failure is noticed while an earlier one stalls, and wakes it by its descriptor") {
  Backend stalled([](const mapping::OnMatch&, const mapping::Context& context) {
    pollfd look{context.cancellation->descriptor(), POLLIN, 0};
    const int woken = ::poll(&look, 1, 20'000);
    return mapping::Outcome::answered(woken == 1 && context.cancelled() ? 0xFE00 : 0xC002);
  });
  Backend bad(giving({}, 0xC001));
  const auto begin = std::chrono::steady_clock::now();
  CHECK(search({&stalled, &bad}).outcome.status == 0xC001);
  CHECK(std::chrono::steady_clock::now() - begin < 15s);
}

TEST_CASE("a partial answer, where it is allowed, says so with its last match at least (FF01)") {
  Backend first(giving({step("1", "A"), step("1", "B")}));
  Backend bad(giving({step("2", "C")}, 0xA900));
  SECTION("the last in the list fails") {
    const auto found = search({&first, &bad}, true);
    CHECK(found.outcome.status == 0x0000);
    CHECK(found.outcome.failed_worklists == 1);
    CHECK(found.ids == Ids{"PA", "PB", "PC"});
    CHECK_FALSE(found.keys_supported.back());
    CHECK(found.log == Ids{"tx= worklist b failed with status A900: the search is answered "
                           "without it"});
  }
  SECTION("the first in the list fails") {
    const auto found = search({&bad, &first}, true);
    CHECK(found.outcome.failed_worklists == 1);
    CHECK(found.ids == Ids{"PC", "PA", "PB"});
    CHECK_FALSE(found.keys_supported.back());
  }
  SECTION("none fails") {
    const auto found = search({&first, &first}, true);
    CHECK(found.outcome.failed_worklists == 0);
    CHECK(found.ids == Ids{"PA", "PB"});
    CHECK(found.keys_supported == std::vector<bool>{true, true});
  }
}

TEST_CASE("a failed search is never an empty one: nothing found and one failed is a failure") {
  Backend empty(giving({}));
  Backend bad(giving({}, 0xA900));
  Backend worse(giving({}, 0xC001));
  CHECK(search({&empty, &bad}, true).outcome.status == 0xA900);
  CHECK(search({&bad, &empty}, true).outcome.status == 0xA900);
  const auto both = search({&bad, &worse}, true).outcome.status;
  CHECK((both == 0xA900 || both == 0xC001));
  CHECK(search({&empty, &empty}, true).outcome.status == 0x0000);
}

TEST_CASE("ten thousand matches of each, one far ahead of the other, wait in bounded memory") {
  constexpr int count = 10'000;
  std::atomic<int> ahead{0};
  const std::string long_name(1000, 'x');
  Backend first([&](const mapping::OnMatch& on_match, const mapping::Context&) {
    std::this_thread::sleep_for(100ms);  // until the second cannot go on
    CHECK(ahead < 2000);
    for (int number = 0; number < count; ++number) {
      if (!on_match({step("1", std::to_string(number)), true})) return mapping::Outcome{};
    }
    return mapping::Outcome{};
  });
  Backend second([&](const mapping::OnMatch& on_match, const mapping::Context&) {
    for (int number = 0; number < count; ++number) {
      if (!on_match({step("2", std::to_string(number), long_name), true})) {
        return mapping::Outcome{};
      }
      ++ahead;
    }
    return mapping::Outcome{};
  });
  const auto found = search({&first, &second});
  CHECK(found.outcome.good());
  REQUIRE(found.ids.size() == 2 * count);
  CHECK(found.ids[count - 1] == "P9999");
  CHECK(found.ids[count] == long_name + "0");
}

TEST_CASE("a cancellation reaches all, with a descriptor or without") {
  struct Wish : mapping::Cancellation {
    bool requested() override { return wanted; }
    int descriptor() const override { return eventfd; }
    std::atomic<bool> wanted{false};
    int eventfd = -1;
  };
  const auto stalled = [](const mapping::OnMatch&, const mapping::Context& context) {
    return stall(context);
  };
  Backend a(stalled);
  Backend b(stalled);
  for (const int descriptor : {-1, ::eventfd(0, EFD_CLOEXEC)}) {
    Wish wish;
    wish.eventfd = descriptor;
    mapping::Context context;
    context.cancellation = &wish;
    std::thread caller([&] {
      std::this_thread::sleep_for(20ms);
      wish.wanted = true;
      if (descriptor >= 0) ::eventfd_write(descriptor, 1);
    });
    CHECK(search({&a, &b}, true, context).outcome.status == 0xFE00);
    caller.join();
    if (descriptor >= 0) ::close(descriptor);
  }
}

TEST_CASE("a caller that wants no more ends all of them") {
  Backend endless([](const mapping::OnMatch& on_match, const mapping::Context&) {
    for (int number = 0;; ++number) {
      if (!on_match({step("1", std::to_string(number)), true})) return mapping::Outcome{};
    }
  });
  Backend stalled(
      [](const mapping::OnMatch&, const mapping::Context& context) { return stall(context); });
  for (const bool partial : {false, true}) {
    const auto found = search({&endless, &stalled}, partial, {}, 5);
    CHECK(found.outcome.good());
    CHECK(found.ids.size() == 5);
    CHECK(found.log.empty());
  }
}

TEST_CASE("the deadline ends the search; what the others found is a partial answer, if allowed") {
  Backend stalled(
      [](const mapping::OnMatch&, const mapping::Context& context) { return stall(context); });
  Backend good(giving({step("1", "A")}));
  for (const auto& backends : {std::vector<Backend*>{&stalled, &good}, {&good, &stalled}}) {
    mapping::Context context;
    context.deadline = std::chrono::steady_clock::now() + 50ms;
    CHECK(search(backends, false, context).outcome.status == 0xA700);
    context.deadline = std::chrono::steady_clock::now() + 1s;  // time for the good one to answer
    const auto found = search(backends, true, context);
    CHECK(found.outcome.status == 0x0000);
    CHECK(found.outcome.failed_worklists == 1);
    CHECK(found.ids == Ids{"PA"});
    CHECK(found.keys_supported == std::vector<bool>{false});
  }
}

TEST_CASE("bad habits do no harm: matches after a false, an end without one, an exception") {
  Backend deaf([](const mapping::OnMatch& on_match, const mapping::Context&) {
    for (int number = 0; number < 5000; ++number)
      on_match({step("1", std::to_string(number)), true});
    return mapping::Outcome{};
  });
  Backend empty_match([](const mapping::OnMatch& on_match, const mapping::Context&) {
    on_match({mapping::DataSet(), true});
    return mapping::Outcome{};
  });
  Backend bad(giving({}, 0xA900));
  CHECK(search({&deaf, &deaf}, false, {}, 3).ids.size() == 3);
  CHECK(search({&deaf, &bad}).outcome.status == 0xA900);
  CHECK(search({&empty_match, &empty_match}).ids == Ids{"", ""});
  // FE00 that nobody asked for is no whole answer.
  Backend gives_up(giving({step("1", "A")}, 0xFE00));
  CHECK_FALSE(search({&gives_up, &empty_match}).outcome.good());
  Backend throws([](const mapping::OnMatch&, const mapping::Context&) -> mapping::Outcome {
    throw std::runtime_error("broken");
  });
  CHECK_THROWS_AS(search({&throws, &deaf}), std::runtime_error);
}

TEST_CASE("an exception of the caller's own ends all of them, and reaches it") {
  std::atomic<int> running{0};
  Backend endless([&](const mapping::OnMatch& on_match, const mapping::Context&) {
    ++running;
    while (on_match({step("1", "A"), true})) {
    }
    --running;
    return mapping::Outcome{};
  });
  for (const bool partial : {false, true}) {
    MergedWorklist merged({{&endless, "a"}, {&endless, "b"}}, partial,
                          [](mapping::LogLevel, std::string_view) {});
    CHECK_THROWS_AS(
        merged.search({}, [](mapping::Match&&) -> bool { throw std::runtime_error("no memory"); },
                      {}),
        std::runtime_error);
    CHECK(running == 0);
  }
}

TEST_CASE("what was ignored or left out by any of them is said of all") {
  Backend first([](const mapping::OnMatch&, const mapping::Context&) {
    mapping::Outcome outcome;
    outcome.fuzzy_matching_ignored = true;
    outcome.dropped_matches = 2;
    return outcome;
  });
  Backend second([](const mapping::OnMatch&, const mapping::Context&) {
    mapping::Outcome outcome;
    outcome.multiple_value_matching_ignored = true;
    outcome.dropped_matches = 3;
    return outcome;
  });
  const auto outcome = search({&first, &second}).outcome;
  CHECK(outcome.fuzzy_matching_ignored);
  CHECK_FALSE(outcome.empty_value_matching_ignored);
  CHECK(outcome.multiple_value_matching_ignored);
  CHECK(outcome.dropped_matches == 5);
}
