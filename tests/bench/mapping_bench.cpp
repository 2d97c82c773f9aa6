// How fast mapping/ is, beside the libraries it could have used for the same work, in one run.
// Prints the ratios that docs/performance.md holds; trust them, not the microseconds.
#include <benchmark/benchmark.h>
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dcjson.h>
#include <dcmtk/dcmdata/dcostrmb.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/oflog/oflog.h>
#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <tinyxml2.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <new>
#include <sstream>

#include "mapping/json.h"
#include "mapping/matching.h"
#include "mapping/wire.h"
#include "mapping/xml.h"
#include "tests/bench/worklist_item.h"

namespace {
std::atomic<std::uint64_t> allocations{0};
}  // namespace

// Every allocation of the program is counted. Not inlined: g++ 12 then takes malloc and delete for
// a mismatched pair.
[[gnu::noinline]] void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace mapping;

const DataSet& item() {
  static const DataSet instance = read_json(bench::worklist_item_json).value();
  return instance;
}
const std::string& json() {
  static const std::string text = [] {
    std::string out;
    (void)write_json(item(), out);
    return out;
  }();
  return text;
}
const std::string& xml() {
  static const std::string text = [] {
    std::string out;
    (void)write_xml(item(), out);
    return out;
  }();
  return text;
}
/// Implicit VR Little Endian in ISO_IR 100.
const std::string& wire() {
  static const std::string bytes =
      write_data_set(item(), TransferSyntax::implicit_vr_little_endian).value();
  return bytes;
}

std::unique_ptr<DcmDataset> dcmtk_read(const std::string& bytes) {
  auto data_set = std::make_unique<DcmDataset>();
  DcmInputBufferStream stream;
  stream.setBuffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
  stream.setEos();
  data_set->transferInit();
  data_set->read(stream, EXS_LittleEndianImplicit);
  data_set->transferEnd();
  return data_set;
}

template <class Work>
void measure(benchmark::State& state, const Work& work) {
  work();
  const std::uint64_t before = allocations;
  for (auto _ : state) work();
  state.counters["allocations"] = benchmark::Counter(static_cast<double>(allocations - before),
                                                     benchmark::Counter::kAvgIterations);
}

// --- JSON out

void json_out(benchmark::State& state) {
  std::string out;
  measure(state, [&] {
    out.clear();
    (void)write_json(item(), out);
    benchmark::DoNotOptimize(out.data());
  });
}
void json_out_rapidjson(benchmark::State& state) {
  rapidjson::Document document;
  document.Parse(json().c_str());
  measure(state, [&] {
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
    document.Accept(writer);
    benchmark::DoNotOptimize(buffer.GetString());
  });
}
void json_out_dcmtk(benchmark::State& state) {
  auto data_set = dcmtk_read(wire());
  data_set->convertToUTF8();
  measure(state, [&] {
    std::ostringstream out;
    DcmJsonFormatCompact format(OFFalse);
    data_set->writeJson(out, format);
    benchmark::DoNotOptimize(out);
  });
}

// --- JSON in

void json_in(benchmark::State& state) {
  measure(state, [&] { benchmark::DoNotOptimize(read_json(json())); });
}
void json_in_rapidjson_sax(benchmark::State& state) {
  measure(state, [&] {
    rapidjson::Reader reader;
    rapidjson::MemoryStream stream(json().data(), json().size());
    rapidjson::BaseReaderHandler<> nothing;
    benchmark::DoNotOptimize(reader.Parse(stream, nothing));
  });
}
void fill(DcmItem& item, const rapidjson::Value& object) {
  for (const auto& member : object.GetObject()) {
    Tag tag;
    parse_tag(member.name.GetString(), tag);
    const DcmTag dcm_tag(tag.group(), tag.element());
    if (!member.value.HasMember("Value")) {
      item.insertEmptyElement(dcm_tag);
      continue;
    }
    std::string text;
    OFString value_text;
    unsigned long index = 0;
    for (const auto& value : member.value["Value"].GetArray()) {
      if (value.IsObject() && member.value["vr"] == "SQ") {
        DcmItem* child = nullptr;
        item.findOrCreateSequenceItem(dcm_tag, child, -2);
        fill(*child, value);
        continue;
      }
      if (index++ != 0) text += '\\';
      if (value.IsObject())
        text += value["Alphabetic"].GetString();
      else if (value.IsString())
        text += value.GetString();
      else
        text += fmt::format("{}", value.GetDouble());
    }
    if (index != 0) item.putAndInsertString(dcm_tag, text.c_str());
  }
}
void json_in_dcmtk(benchmark::State& state) {
  measure(state, [&] {
    rapidjson::Document document;
    document.Parse(json().data(), json().size());
    DcmDataset data_set;
    fill(data_set, document);
    benchmark::DoNotOptimize(data_set);
  });
}

// --- Wire

void wire_in(benchmark::State& state) {
  measure(state, [&] {
    benchmark::DoNotOptimize(read_data_set(wire(), TransferSyntax::implicit_vr_little_endian));
  });
}
void wire_in_dcmtk(benchmark::State& state) {
  measure(state, [&] { dcmtk_read(wire())->convertToUTF8(); });
}
void wire_out(benchmark::State& state) {
  measure(state, [&] {
    benchmark::DoNotOptimize(write_data_set(item(), TransferSyntax::implicit_vr_little_endian));
  });
}
void wire_out_dcmtk(benchmark::State& state) {
  auto data_set = dcmtk_read(wire());
  std::vector<char> buffer(1 << 16);
  measure(state, [&] {
    DcmOutputBufferStream stream(buffer.data(), static_cast<offile_off_t>(buffer.size()));
    data_set->transferInit();
    data_set->write(stream, EXS_LittleEndianImplicit, EET_ExplicitLength, nullptr);
    data_set->transferEnd();
  });
}

// --- XML

void xml_out(benchmark::State& state) {
  std::string out;
  measure(state, [&] {
    out.clear();
    (void)write_xml(item(), out);
    benchmark::DoNotOptimize(out.data());
  });
}
void xml_out_tinyxml2(benchmark::State& state) {
  tinyxml2::XMLDocument document;
  document.Parse(xml().data(), xml().size());
  measure(state, [&] {
    tinyxml2::XMLPrinter printer(nullptr, true);
    document.Print(&printer);
    benchmark::DoNotOptimize(printer.CStr());
  });
}
void xml_in(benchmark::State& state) {
  measure(state, [&] { benchmark::DoNotOptimize(read_xml(xml())); });
}
void xml_in_tinyxml2(benchmark::State& state) {
  measure(state, [&] {
    tinyxml2::XMLDocument document;
    benchmark::DoNotOptimize(document.Parse(xml().data(), xml().size()));
  });
}

// --- Matching

/// Five keys that the item matches, so that each is looked at: the case that takes longest.
void matching(benchmark::State& state) {
  const DataSet identifier = read_json(R"json({"00100010":{"vr":"PN","Value":[{"Alphabetic":"m*"}]},
"00100020":{"vr":"LO","Value":["PID004711"]},
"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["MR"]},
 "00400001":{"vr":"AE","Value":["MRSCAN1"]},"00400002":{"vr":"DA","Value":["20261101-20261130"]}}]}})json")
                                 .value();
  Search search;
  search.identifier = identifier;
  const Matcher matcher(search);
  if (!matcher.matches(item())) state.SkipWithError("the item does not match");
  measure(state, [&] { benchmark::DoNotOptimize(matcher.matches(item())); });
}

BENCHMARK(json_out);
BENCHMARK(json_out_rapidjson);
BENCHMARK(json_out_dcmtk);
BENCHMARK(json_in);
BENCHMARK(json_in_rapidjson_sax);
BENCHMARK(json_in_dcmtk);
BENCHMARK(wire_in);
BENCHMARK(wire_in_dcmtk);
BENCHMARK(wire_out);
BENCHMARK(wire_out_dcmtk);
BENCHMARK(xml_out);
BENCHMARK(xml_out_tinyxml2);
BENCHMARK(xml_in);
BENCHMARK(xml_in_tinyxml2);
BENCHMARK(matching);

/// Prints as usual and keeps the best time of each benchmark, and its allocations.
class Collector : public benchmark::ConsoleReporter {
 public:
  struct Best {
    double nanoseconds = 0;
    double allocations = 0;
  };

  Collector() : ConsoleReporter(OO_Tabular) {}

  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      const double time = run.GetAdjustedCPUTime();
      const auto counter = run.counters.find("allocations");
      const double count = counter == run.counters.end() ? 0 : counter->second.value;
      const auto [it, is_new] = best_.try_emplace(run.run_name.function_name, Best{time, count});
      if (!is_new) it->second.nanoseconds = std::min(it->second.nanoseconds, time);
    }
  }
  /// Null if it was not run, as with --benchmark_filter.
  const Best* best(const std::string& name) const {
    const auto found = best_.find(name);
    return found == best_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, Best> best_;
};

/// other: a benchmark that this should be so many times as fast as; null: millions of items a
/// second.
struct Target {
  const char* name;
  const char* other;
  double at_least;
};
constexpr Target targets[] = {
    {"json_out", "json_out_rapidjson", 0.8},
    {"json_out", "json_out_dcmtk", 4},
    {"json_in", "json_in_rapidjson_sax", 0.4},
    {"json_in", "json_in_dcmtk", 2},
    {"wire_in", "wire_in_dcmtk", 8},
    {"wire_out", "wire_out_dcmtk", 8},
    {"xml_out", "xml_out_tinyxml2", 2},
    {"xml_in", "xml_in_tinyxml2", 0.9},
    {"matching", nullptr, 1},
};

/// False if a target that was measured is missed.
bool print_table(const Collector& collector) {
  fmt::print("\n| {:<8} | {:<21} | {:>8} | {:>6} | {:>11} | {:>11} | {:>13} |\n", "",
             "times as fast as", "measured", "wanted", "us an item", "allocations", "of the other");
  fmt::print("|{:-<10}|{:-<23}|{:-<9}:|{:-<7}:|{:-<12}:|{:-<12}:|{:-<14}:|\n", "", "", "", "", "",
             "", "");
  bool all = true;
  for (const Target& target : targets) {
    const Collector::Best* const ours = collector.best(target.name);
    const Collector::Best* const other =
        target.other == nullptr ? nullptr : collector.best(target.other);
    if (ours == nullptr || (target.other != nullptr && other == nullptr)) continue;
    const double rate =
        other == nullptr ? 1000 / ours->nanoseconds : other->nanoseconds / ours->nanoseconds;
    all = all && rate >= target.at_least;
    fmt::print("| {:<8} | {:<21} | {:>8.2f} | {:>6.1f} | {:>11.2f} | {:>11.0f} | {:>13} |{}\n",
               target.name, target.other == nullptr ? "(million items/s)" : target.other, rate,
               target.at_least, ours->nanoseconds / 1000, ours->allocations,
               other == nullptr ? "" : fmt::format("{:.0f}", other->allocations),
               rate >= target.at_least ? "" : " MISSED");
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  OFLog::configure(OFLogger::OFF_LOG_LEVEL);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  Collector collector;
  benchmark::RunSpecifiedBenchmarks(&collector);
  return print_table(collector) ? 0 : 1;
}
