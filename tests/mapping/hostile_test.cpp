// Input that is made to break a reader, large: a clear fault or success, in bounded time and
// memory. Each is made and read in a process of its own, which is ended after a minute of work and
// whose memory is measured. Smaller hostile input stands with the tests of each reader.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>

#include "mapping/json.h"
#include "mapping/wire.h"
#include "mapping/xml.h"

using namespace mapping;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t overhead = 1000;  // of the sanitizer, which keeps what was freed too
#else
constexpr std::size_t overhead = 1;
#endif

std::string repeated(std::string_view part, std::size_t times) {
  std::string all;
  all.reserve(part.size() * times + 64);
  for (std::size_t i = 0; i < times; ++i) all += part;
  return all;
}

struct Cost {
  bool as_expected = false;
  std::size_t peak = 0;  ///< MiB that the process held at most, the input included
};

Cost cost_of(const std::function<bool()>& work) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit processor_seconds{60, 60};
    setrlimit(RLIMIT_CPU, &processor_seconds);
    _exit(work() ? 0 : 1);
  }
  int status = 0;
  rusage usage{};
  REQUIRE(wait4(child, &status, 0, &usage) == child);
  return {WIFEXITED(status) && WEXITSTATUS(status) == 0,
          static_cast<std::size_t>(usage.ru_maxrss) / 1024};
}

using Read = Result<DataSet> (*)(std::string_view);

Result<DataSet> json(std::string_view text) { return read_json(text); }
Result<DataSet> xml(std::string_view text) { return read_xml(text); }
Result<DataSet> wire(std::string_view bytes) {
  auto read = read_data_set(bytes, TransferSyntax::explicit_vr_little_endian);
  if (!read) return read.fault();
  return std::move(read).value().data_set;
}
// As if an operator had raised the limit.
Result<DataSet> large_json(std::string_view text) {
  return read_json(text, {.max_bytes = 256 * mib, .enforce_vr_limits = false});
}
Result<DataSet> large_xml(std::string_view text) {
  return read_xml(text, {.max_bytes = 256 * mib, .enforce_vr_limits = false});
}

enum class Expected { read, malformed, too_large };

bool is_as(const Result<DataSet>& read, Expected expected) {
  if (expected == Expected::read) return read.ok();
  const Fault::Kind kind =
      expected == Expected::malformed ? Fault::Kind::malformed : Fault::Kind::too_large;
  return !read && read.fault().kind == kind && !read.fault().what.empty() &&
         read.fault().what.size() < 600;
}

std::string json_text(std::string_view vr, std::size_t size) {
  return R"({"00400E00":{"vr":")" + std::string(vr) + R"(","Value":[")" + repeated("x", size) +
         "\"]}}";
}
std::string xml_document(const std::string& body) {
  return "<NativeDicomModel>" + body + "</NativeDicomModel>";
}
std::string xml_text(std::string_view vr, std::size_t size) {
  return xml_document(R"(<DicomAttribute tag="00400E00" vr=")" + std::string(vr) +
                      R"("><Value number="1">)" + repeated("x", size) +
                      "</Value></DicomAttribute>");
}
// Attributes of odd groups, each once.
std::string many_attributes(std::size_t count, const std::function<std::string(Tag)>& one) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) {
    all += one(Tag(static_cast<std::uint32_t>(0x00111000 + 0x20000 * (i / 0xE000) + i % 0xE000)));
  }
  return all;
}

}  // namespace

TEST_CASE("hostile input of many megabytes ends in a fault or is read, in bounded memory") {
  struct Row {
    const char* what;
    std::function<std::string()> make;
    Read read;
    Expected expected;
    std::size_t limit;  // MiB
  };
  const std::string item_start = R"(<DicomAttribute tag="00400100" vr="SQ"><Item number="1">)";
  const Row rows[] = {
      {"a string of 100 MiB is over the limit of JSON", [] { return json_text("LO", 100 * mib); },
       json, Expected::too_large, 400},
      {"and of XML", [] { return xml_text("LO", 100 * mib); }, xml, Expected::too_large, 400},
      {"it is too long for most VRs", [] { return json_text("LO", 100 * mib); }, large_json,
       Expected::too_large, 700},
      {"in XML too", [] { return xml_text("LO", 100 * mib); }, large_xml, Expected::too_large, 700},
      {"UT holds it", [] { return json_text("UT", 100 * mib); }, large_json, Expected::read, 900},
      {"in XML too", [] { return xml_text("UT", 100 * mib); }, large_xml, Expected::read, 900},
      {"5,000 levels of JSON", [] { return repeated(R"({"00400100":{"vr":"SQ","Value":[)", 5000); },
       json, Expected::too_large, 100},
      {"closed ones",
       [] {
         return repeated(R"({"00400100":{"vr":"SQ","Value":[)", 5000) + "{}" +
                repeated("]}}", 5000);
       },
       json, Expected::too_large, 100},
      {"a million arrays", [] { return std::string(mib, '['); }, json, Expected::malformed, 100},
      {"5,000 levels of XML",
       [&] {
         return xml_document(repeated(item_start, 5000) +
                             repeated("</Item></DicomAttribute>", 5000));
       },
       xml, Expected::too_large, 100},
      {"a million elements that are no attributes, open", [] { return repeated("<a>", mib); }, xml,
       Expected::malformed, 100},
      {"the same where nothing is looked at",
       [] {
         return xml_document(R"(<DicomAttribute tag="00080005">)" + repeated("<a>", 10 * mib));
       },
       xml, Expected::malformed, 600},
      {"5,000 levels on the wire",
       [] {
         return repeated({"\x40\0\0\1SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF", 20},
                         5000);
       },
       wire, Expected::too_large, 100},
      {"references by the million",
       [] {
         return xml_document(R"(<DicomAttribute tag="00400E00" vr="UT"><Value>)" +
                             repeated("&#x1F600;", 5 * mib) + "</Value></DicomAttribute>");
       },
       xml, Expected::read, 400},
      {"texts that comments part by the million",
       [] {
         return xml_document(R"(<DicomAttribute tag="00400E00" vr="UT"><Value>)" +
                             repeated("x<!---->", 5 * mib) + "</Value></DicomAttribute>");
       },
       xml, Expected::read, 300},
      {"entities that hold each other",
       [] {
         return "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"" + repeated("&lol;", 10) +
                "\">]>" +
                xml_document(
                    "<DicomAttribute tag=\"00100020\" vr=\"LO\"><Value>&lol2;"
                    "</Value></DicomAttribute>");
       },
       xml, Expected::malformed, 100},
      {"one value that leaves out 65,534, in each of 60,000 attributes",
       [] {
         return xml_document(many_attributes(60000, [](Tag tag) {
           return "<DicomAttribute tag=\"" + to_string(tag) +
                  "\" vr=\"UC\"><Value number=\"65535\"/></DicomAttribute>";
         }));
       },
       xml, Expected::too_large, 100},
      {"a million attributes of one element",
       [] { return "<NativeDicomModel" + repeated(" a='1'", mib) + "/>"; }, xml,
       Expected::malformed, 100},
      {"a million attributes, each twice",
       [] {
         return "{" + repeated(R"("00100020":{"vr":"LO","Value":["x"]},)", mib) +
                R"("00100020":{"vr":"LO"}})";
       },
       json, Expected::malformed, 400},
      {"in XML",
       [] { return xml_document(repeated(R"(<DicomAttribute tag="00100020" vr="LO"/>)", mib)); },
       xml, Expected::malformed, 300},
      {"items by the million",
       [] { return R"({"00400100":{"vr":"SQ","Value":[)" + repeated("{},", 5 * mib) + "{}]}}"; },
       json, Expected::read, 300},
      {"a number of a million digits",
       [] { return R"({"00101030":{"vr":"DS","Value":[)" + repeated("1", mib) + "]}}"; }, json,
       Expected::malformed, 100},
      {"items in reverse order, in each of twenty levels",
       [] {
         std::string body;
         for (int level = 0; level < 20; ++level) {
           body = R"(<DicomAttribute tag="00400100" vr="SQ"><Item number="2">)" +
                  (level == 0 ? R"(<DicomAttribute tag="00400E00" vr="UT"><Value>)" +
                                    repeated("x<!-- -->", mib) + "</Value></DicomAttribute>"
                              : body) +
                  R"(</Item><Item number="1"/></DicomAttribute>)";
         }
         return xml_document(body);
       },
       xml, Expected::read, 200},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    const Cost cost = cost_of([&] { return is_as(row.read(row.make()), row.expected); });
    CHECK(cost.as_expected);
    CHECK(cost.peak < row.limit * overhead);
  }
}

TEST_CASE("NUL bytes, lone surrogates and bad UTF-8 in text are refused or come back as they are") {
  for (const char* text :
       {R"("\ud800")", R"("\udc00x")", R"("\ud800\ud800")", R"("\ud83dx")", "\"\xC0\x80\"",
        "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"", "\"\xE2\x82\""}) {
    INFO(text);
    CHECK_FALSE(read_json(R"({"00100020":{"vr":"LO","Value":[)" + std::string(text) + "]}}"));
  }
  const std::string nul(1, '\0');
  CHECK_FALSE(read_json(R"({"00100020":{"vr":"LO","Value":["a)" + nul + R"(b"]}})"));
  const auto read = read_json(R"({"00100020":{"vr":"LO","Value":["a\u0000b"]}})");
  if (read) {
    std::string json_again;
    REQUIRE(write_json(read.value(), json_again));
    CHECK(json_again == R"({"00100020":{"vr":"LO","Value":["a\u0000b"]}})");
    std::string xml_again;
    CHECK_FALSE(write_xml(read.value(), xml_again));
    CHECK(xml_again.empty());
  }
}

TEST_CASE(
    "an escape character beside text that is not ASCII is refused, not lost on the wire (E10)") {
  const auto read = read_json(R"({"00100020":{"vr":"LO","Value":["ü\u001b"]}})");
  REQUIRE(read);
  for (const TransferSyntax syntax :
       {TransferSyntax::implicit_vr_little_endian, TransferSyntax::explicit_vr_little_endian}) {
    const auto written = write_data_set(read.value(), syntax);
    REQUIRE_FALSE(written);
    CHECK(written.fault().kind == Fault::Kind::character_set);
    CHECK(written.fault().what == "00100020: expected text without escape sequences");
  }
}
