// What happens to the front's associations when its options, or its services, change meanwhile.
#include <atomic>
#include <future>

#include "dimse/scp.h"
#include "library_scu.h"
#include "scu_support.h"

using namespace loopback;  // NOLINT: test code

namespace {

void change(Front& front, dimse::ScpOptions options) {
  auto prepared = front.scp->prepare(std::move(options));
  REQUIRE(prepared);
  prepared.value()();
}

dimse::ScpOptions known(const std::vector<std::string>& ae_titles) {
  dimse::ScpOptions options;
  options.known_modalities_only = true;
  for (const std::string& ae_title : ae_titles) {
    dimse::Modality modality;
    modality.ae_title = ae_title;
    options.modalities.push_back(modality);
  }
  return options;
}

bool admitted(const Front& front, const char* ae_title) {
  LibraryScu scu(front.port, "MODGATE", ae_title);
  return scu.open();
}

}  // namespace

TEST_CASE("The next request of an open association goes where the router says now") {
  MemoryServices before, after;
  std::atomic<MemoryServices*> current{&before};
  dimse::ScpOptions options;
  options.bind = "127.0.0.1";
  options.port = 0;
  dimse::Scp scp(options,
                 [&](const auto&) {
                   return mapping::Services{current.load(), current.load()};
                 },
                 {});
  const auto port = scp.start();
  REQUIRE(port);
  LibraryScu scu(port.value());
  REQUIRE(scu.open());
  std::uint16_t status = 1;
  CHECK(scu.find(*library_identifier(), status).size() == 1);
  after.on_search = [](const auto&, const auto& on_match, const auto&) {
    on_match({item("B1")});
    return Outcome::answered(0);
  };
  current = &after;
  const auto matches = scu.find(*library_identifier(), status);
  REQUIRE(matches.size() == 1);
  CHECK(text(*matches[0], DCM_AccessionNumber) == "B1");
}

TEST_CASE("What is no longer offered is refused on its open association, which goes on") {
  std::atomic<bool> offered{true};
  MemoryServices services;
  dimse::ScpOptions options;
  options.bind = "127.0.0.1";
  options.port = 0;
  dimse::Scp scp(options,
                 [&](const auto&) {
                   return offered ? mapping::Services{&services, &services} : mapping::Services{};
                 },
                 {});
  const auto port = scp.start();
  REQUIRE(port);
  dimse::ScuOptions scu_options;
  scu_options.ae_title = "MODGATE";
  scu_options.host = "127.0.0.1";
  scu_options.port = port.value();
  dimse::Scu scu(scu_options, {});
  const auto ignore = [](const auto&) { return true; };
  CHECK(scu.search({identifier()}, ignore, context()).good());
  offered = false;
  CHECK(scu.search({identifier()}, ignore, context()).status == status::sop_class_not_supported);
  const auto uid = Uid::parse("1.2.3").value();
  const auto step = item("A1");
  DataSet found;
  CHECK(scu.create(uid, step, context()).status == status::no_such_sop_class);
  CHECK(scu.update(uid, step, context()).status == status::no_such_sop_class);
  CHECK(scu.retrieve(uid, {}, found, context()).status == status::no_such_sop_class);
  CHECK(services.stored_count() == 0);
  offered = true;
  CHECK(scu.create(uid, step, context()).good());
  CHECK(scp.associations() == 1);
}

TEST_CASE("A transaction keeps what it began with, and nothing keeps it longer") {
  std::promise<void> searching, go_on;
  std::atomic<int> which{0};
  std::weak_ptr<MemoryServices> first;
  std::shared_ptr<MemoryServices> current = std::make_shared<MemoryServices>();
  std::mutex mutex;
  current->on_search = [&](const auto&, const auto&, const auto&) {
    searching.set_value();
    go_on.get_future().wait();
    return Outcome::answered(0);
  };
  first = current;
  dimse::ScpOptions options;
  options.bind = "127.0.0.1";
  options.port = 0;
  dimse::Scp scp(options,
                 [&](const auto&) {
                   const std::lock_guard lock(mutex);
                   return mapping::Services{current.get(), current.get(), current};
                 },
                 {});
  const auto port = scp.start();
  REQUIRE(port);
  LibraryScu scu(port.value());
  REQUIRE(scu.open());
  std::uint16_t status = 1;
  auto found = std::async(std::launch::async, [&] { scu.find(*library_identifier(), status); });
  searching.get_future().wait();
  {
    const std::lock_guard lock(mutex);
    current = std::make_shared<MemoryServices>();
  }
  CHECK_FALSE(first.expired());
  go_on.set_value();
  found.get();
  CHECK(status == 0);
  CHECK(eventually([&] { return first.expired(); }));  // though the association goes on
  CHECK(scp.associations() == 1);
}

TEST_CASE("Modalities are known and forgotten without an association's end") {
  Front front(known({"CT1", "CT2"}));
  LibraryScu scu(front.port);
  REQUIRE(scu.open());
  change(front, known({"CT2", "CT3"}));
  CHECK(scu.echo() == 0);  // it was admitted
  CHECK_FALSE(admitted(front, "CT1"));
  CHECK(admitted(front, "CT2"));
  CHECK(admitted(front, "CT3"));

  auto changed = known({"CT1"});
  changed.modalities[0].station_filter = true;
  changed.ae_title = "OTHER";
  change(front, changed);
  std::uint16_t status = 1;
  scu.find(*library_identifier(), status);  // the rules of its next request are the new ones
  CHECK(status == 0);
  const auto asked = front.services.last_search().identifier;
  const auto step = asked.view().first_item(tags::ScheduledProcedureStepSequence);
  REQUIRE(step);
  CHECK(step->text(tags::ScheduledStationAETitle) == "CT1");
  CHECK_FALSE(admitted(front, "CT1"));  // called MODGATE
}

TEST_CASE("A limit holds as it was at the start") {
  dimse::ScpOptions options;
  options.max_associations = 1;
  Front front(options);
  LibraryScu scu(front.port);
  REQUIRE(scu.open());
  options.max_associations = 10;
  change(front, options);
  CHECK_FALSE(admitted(front, "CT2"));
}
