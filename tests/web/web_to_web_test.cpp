// Both boxes of this room back to back: our user agent in front of our origin server.
#include <atomic>
#include <thread>

#include "tests/web/origin_server_support.h"
#include "tests/web/user_agent_support.h"

using namespace user_agent_test;

namespace {

/// Our origin server over services in memory, and our user agent in front of it.
struct BothEnds : web_test::Site {
  explicit BothEnds(const std::function<void(UserAgentOptions&)>& change = {})
      : Site([] {
          web::OriginServerOptions options;
          options.base_path = "/a/b";
          return options;
        }()) {
    UserAgentOptions agent_options = quick(fmt::format("http://127.0.0.1:{}/a/b/", port));
    agent_options.response_timeout = 10s;
    if (change) change(agent_options);
    agent = agent_for(agent_options);
  }

  std::unique_ptr<UserAgent> agent;
};

}  // namespace

TEST_CASE("Web to web: a search crosses unchanged, page by page, with its warnings") {
  BothEnds ends([](UserAgentOptions& options) { options.page_size = 7; });
  for (int i = 0; i < 50; ++i) ends.worklist.matches.push_back(web_test::scheduled_step(i));
  ends.worklist.optional_keys_supported = false;
  ends.worklist.outcome.fuzzy_matching_ignored = true;
  mapping::Search asked = by_modality();
  asked.fuzzy_matching = true;
  const Found found = search(*ends.agent, asked);
  CHECK(found.outcome.status == status::success);
  CHECK(found.outcome.fuzzy_matching_ignored);
  REQUIRE(found.matches.size() == 50);
  for (std::size_t i = 0; i < 50; ++i) {
    CHECK(found.matches[i].data_set == ends.worklist.matches[i]);
    CHECK_FALSE(found.matches[i].optional_keys_supported);
  }
  const auto arrived = ends.worklist.last();
  CHECK(arrived.fuzzy_matching);
  CHECK(arrived.identifier.view()
            .first_item(tags::ScheduledProcedureStepSequence)
            ->text(tags::Modality) == "CT");
}

TEST_CASE("Web to web: a failed search stays a failed search") {
  BothEnds ends;
  ends.worklist.matches.push_back(web_test::scheduled_step(1));
  for (const int word : {0xA700, 0xA900, 0x0122, 0xC123, 0x0110}) {
    CAPTURE(word);
    ends.worklist.outcome = Outcome::answered(static_cast<std::uint16_t>(word));
    const Found found = search(*ends.agent);
    CHECK_FALSE(found.outcome.good());
    CHECK(found.matches.empty());
  }
}

TEST_CASE("Web to web: Create, Update and Retrieve cross with their data sets and statuses") {
  for (const auto& [update_path, xml] :
       {std::pair(false, false), std::pair(true, false), std::pair(false, true)}) {
    BothEnds ends([path = update_path, in_xml = xml](UserAgentOptions& options) {
      if (path) options.update_uri = web::UpdateUri::path;
      options.xml = in_xml;
    });
    UserAgent& agent = *ends.agent;
    const DataSet step = data_set(
        R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"M\u00fcller^J\u00fcrgen"}]},
            "00400252":{"vr":"CS","Value":["IN PROGRESS"]},
            "00400253":{"vr":"SH","Value":["PPS1"]},
            "00400270":{"vr":"SQ","Value":[{"00400009":{"vr":"SH","Value":["SPS1"]}},{}]},
            "00400340":{"vr":"SQ"}})");
    CHECK(agent.create(uid, step, patient()).status == status::success);
    CHECK(ends.steps.stored(uid.text()) == step);
    CHECK(agent.create(uid, step, patient()).status == status::duplicate_sop_instance);
    DataSet found;
    CHECK(agent.retrieve(uid, {}, found, patient()).status == status::success);
    CHECK(found == step);
    CHECK(agent.retrieve(uid, {tags::PerformedProcedureStepID}, found, patient()).status ==
          status::success);
    CHECK(found == data_set(R"({"00400253":{"vr":"SH","Value":["PPS1"]}})"));
    CHECK(agent.retrieve(uid, {tags::AccessionNumber}, found, patient()).status != status::success);
    CHECK(agent.update(uid, data_set(completed), patient()).status == status::success);
    const Outcome final = agent.update(uid, data_set(completed), patient());
    CHECK(final.status == status::processing_failure);
    CHECK(final.error_id == status::error_id_may_no_longer_be_updated);
    const Uid unknown = *Uid::parse("1.2.3.78");
    CHECK(agent.update(unknown, data_set(completed), patient()).status ==
          status::no_such_sop_instance);
    CHECK(agent.retrieve(unknown, {}, found, patient()).status == status::no_such_sop_instance);
    ends.steps.instead = [](const Context&) {
      return Outcome::local(status::missing_attribute_value, "a comment", {tags::Modality});
    };
    const Outcome missing = agent.create(uid, step, patient());
    CHECK(missing.status == status::missing_attribute_value);
    CHECK(missing.error_comment == "a comment");
    CHECK(missing.attributes == std::vector<mapping::Tag>{tags::Modality});
  }
}

TEST_CASE("Web to web: a client that goes away ends the search behind both") {
  BothEnds ends;
  std::atomic<bool> arrived = false;
  std::atomic<bool> cancelled = false;
  ends.worklist.before = [&](const Context& context) {
    arrived = true;
    cancelled = web_test::eventually([&] { return context.cancelled(); });
  };
  Trigger trigger(true);
  Context context = patient();
  context.cancellation = &trigger;
  Outcome outcome;
  std::thread asking([&] { outcome = search(*ends.agent, {}, context).outcome; });
  CHECK(web_test::eventually([&] { return arrived.load(); }));
  trigger.fire();
  asking.join();
  CHECK(outcome.status == status::cancel);
  CHECK(web_test::eventually([&] { return cancelled.load(); }));
}
