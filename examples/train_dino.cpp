// SPDX-License-Identifier: MIT

// Trains the encoder of an image classifier without labels: a student learns to see in one part of an image what its
// teacher, its own moving average, sees in another. Two objectives: that of the coding rate, and DINO.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/crate.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/io/pictures/read_image_data_set.hpp"
#include "crate/io/save_model.hpp"
#include "crate/training/trainer.hpp"
#include "image_program/data.hpp"
#include "image_program/options.hpp"
#include "most_probed_pixels.hpp"
#include "program_options/program_options.hpp"
#include "train_dino/options.hpp"
#include "train_dino/report.hpp"
#include "training_program/run.hpp"

namespace {

using namespace crate;
using train_dino::Options;

/// Everything that a training works on but the model.
struct Bench {
  const Options& options;
  const Metadata& described_options;
  const TrainingAndTest& data;
  const ImageDataSet &known, &asked;  ///< training and test images with which nearest neighbours judge
  ImagePreprocessing preprocessing;
  Threads& threads;

  [[nodiscard]] Communicator& ranks() const { return *options.training.trainer.ranks; }
  [[nodiscard]] bool is_dino() const { return options.objective == "dino"; }
  [[nodiscard]] Index steps(double epochs) const {
    const Index steps_per_epoch = data.training.size() / options.training.trainer.batch;
    return std::lround(std::min(epochs * static_cast<double>(steps_per_epoch), 1e15));
  }
  /// Whether there are two classes to tell apart.
  [[nodiscard]] bool is_labelled() const {
    const auto [least, largest] = std::minmax_element(known.labels.begin(), known.labels.end());
    return least != known.labels.end() && *least != *largest;
  }
};

/// `count` images by chance, the same ones every time, in their order; nothing if that, or 0, stands for all.
std::optional<ImageDataSet> part_of(const ImageDataSet& data, Index count) {
  if (count == 0 || count >= data.size()) return std::nullopt;
  std::vector<Index> chosen = epoch_order(data.size(), 0, 0);
  chosen.resize(static_cast<std::size_t>(count));
  std::sort(chosen.begin(), chosen.end());
  ImageDataSet part{.height = data.height, .width = data.width, .channels = data.channels};
  part.pixels = data.pixels(Eigen::all, chosen);
  part.labels = detail::labels_of(data, chosen);
  part.class_names = data.class_names;
  return part;
}

std::vector<Index> all_of(const ImageDataSet& data) {
  std::vector<Index> indices(static_cast<std::size_t>(data.size()));
  std::iota(indices.begin(), indices.end(), Index{0});
  return indices;
}

/// --local-side, or whole patches that come nearest to half of an image. Throws OptionError unless patches fill it.
Index local_side(const Options& o, const ImageDataSet& images, const PatchGrid& grid) {
  const Index patches = std::lcm(grid.height, grid.width);
  if (o.local_side == 0) return std::max<Index>(1, (images.height + patches) / (2 * patches)) * patches;
  if (o.local_side % patches != 0)
    throw OptionError(concatenate("option --local-side: expected a multiple of ", patches, ", which patches of ",
                                  grid.height, " x ", grid.width, " fill; found ", o.local_side));
  return o.local_side;
}

bool is_published(const Options& o) { return o.preset == "published"; }

/// The patches that are asked for, or the largest of a few that cut an image into at least 16: where the features are
/// means over few tokens that each see much, they tell more, and more views are seen in the same time.
std::string patch_of(const Options& o, const ImageDataSet& images) {
  if (!o.patch.empty()) return o.patch;
  for (const Index side : {16, 8, 7, 4})
    if (images.height % side == 0 && images.width % side == 0 && images.height * images.width >= 16 * side * side)
      return concatenate(side, "x", side);
  return "";
}

std::vector<ImageAugmentation> views_of(const Bench& bench, Index side_of_locals) {
  const Options& o = bench.options;
  const ImageDataSet& images = bench.data.training;
  MultiCrop crop = is_published(o) ? MultiCrop{} : images.channels == 1 ? small_grey_multi_crop() : small_multi_crop();
  crop.global_side = images.height;
  crop.local_side = side_of_locals;
  crop.locals = o.locals;
  crop.flip = !o.no_flip;
  std::vector<ImageAugmentation> views = multi_crop_views(crop);
  for (std::size_t v = 0; v < 2; ++v) views[v].crop->width = images.width;
  return views;
}

SelfDistillationRule rule_of(const Bench& bench) {
  const Options& o = bench.options;
  if (bench.is_dino())
    return DinoTrainingOptions{.student_temperature = o.student_temperature,
                               .first_teacher_temperature = o.first_teacher_temperature,
                               .teacher_temperature = o.teacher_temperature,
                               .temperature_steps = bench.steps(o.temperature_epochs),
                               .centre_momentum = o.centre_momentum};
  return CodingRateDistillationOptions{
      .squared_epsilon = o.eps,
      .comparison_weight = o.comparison,
      .expansion_of = o.expansion_of == "student" ? ExpansionOf::student : ExpansionOf::student_and_teacher};
}

template <class Classifier>
SelfDistilled<Classifier> fresh_model(const Bench& bench) {
  const Options& o = bench.options;
  const ImageDataSet& images = bench.data.training;
  typename Classifier::Options sizes{.image = image_program::image_options(patch_of(o, images), images),
                                     .classes = images.classes(),
                                     .depth = o.depth,
                                     .pooling = o.pool == "mean" ? Pooling::mean : Pooling::class_token};
  sizes.block.dim = o.dim;
  sizes.block.heads = o.heads;
  if constexpr (requires { sizes.block.norm_epsilon; }) sizes.head_norm_epsilon = sizes.block.norm_epsilon;
  SelfDistilled<Classifier> model(
      Classifier(sizes), {.hidden = o.hidden, .bottleneck = o.bottleneck, .outputs = bench.is_dino() ? o.outputs : 0});
  initialise(model, o.training.trainer.seed);
  model.encoder.about.preprocessing = bench.preprocessing;
  model.encoder.about.class_names = images.class_names;
  set_drop_path(model.encoder.encoder, o.drop_path);
  return model;
}

/// How many test images have the class of their nearest neighbours among training images.
SelfDistillationMeasures judge(const LabelledFeatures<float>& known, const LabelledFeatures<float>& asked,
                               const Bench& bench) {
  const NearestNeighbourOptions options{.neighbours = std::min<Index>(20, known.size())};
  const std::vector<Index> found = classify_by_neighbours(known, asked.features, options, bench.threads, bench.ranks());
  SelfDistillationMeasures measures{.neighbours_asked = asked.size()};
  for (std::size_t i = 0; i < found.size(); ++i) measures.neighbours_right += found[i] == asked.labels[i] ? 1 : 0;
  return measures;
}

template <class Classifier>
SelfDistillationMeasures judge_encoder(const Bench& bench, const Classifier& encoder) {
  if (!bench.is_labelled()) return {};
  const FeatureOptions options{.token = FeatureToken::pooled, .normalised = true};
  constexpr Index at_a_time = 16;
  const auto features = [&](const ImageDataSet& images) {
    return labelled_features(encoder, ImageSource<float>{images, bench.preprocessing.normalisation}, images.classes(),
                             options, bench.threads, at_a_time, bench.ranks());
  };
  return judge(features(bench.known), features(bench.asked), bench);
}

SelfDistillationMeasures judge_pixels(const Bench& bench) {
  if (!bench.is_labelled() || bench.known.pixels.rows() > examples::most_probed_pixels) return {};
  const auto pixels = [&](const ImageDataSet& images) {
    return labelled_pixels(ImageSource<float>{images, bench.preprocessing.normalisation}, images.classes(),
                           bench.threads);
  };
  return judge(pixels(bench.known), pixels(bench.asked), bench);
}

/// The spread of the teacher's features of some test images, and the verdict of nearest neighbours.
template <class State>
auto evaluation_of(const Bench& bench, const State& state) {
  return [&](const auto& teacher, Threads& threads, Communicator&) {
    SelfDistillationMeasures measures = judge_encoder(bench, teacher.encoder);
    const Index most = 512;
    const std::optional<ImageDataSet> part = part_of(bench.asked, most);
    const ImageDataSet& some = part ? *part : bench.asked;
    const Matrix<float> images = ImageSource<float>{some, bench.preprocessing.normalisation}.take(all_of(some)).images;
    measures += state.objective.gauges(forward(teacher, Images<float>(images), {.threads = &threads}).tokens,
                                       state.step, threads);
    return measures;
  };
}

TrainerOptions trainer_options(const Bench& bench) {
  const Options& o = bench.options;
  const Index total = bench.steps(static_cast<double>(o.training.trainer.epochs));
  Schedule schedule{.decay = Decay::cosine,
                    .warm_up = std::min(bench.steps(o.warm_up_epochs), total),
                    .steps = total,
                    .final_factor = o.last_rate < o.training.rate ? o.last_rate / o.training.rate : 1};
  TrainerOptions options = training_program::trainer_options(o.training, schedule, bench.described_options);
  options.clip_each = true;
  if (o.training.weight_decay > 0) options.decay_factor = CosineRamp{1, o.final_weight_decay / o.training.weight_decay};
  options.average_decay = CosineRamp{o.teacher_momentum, 1};
  if (bench.is_dino() && o.frozen_epochs > 0) {
    options.frozen_part = "projection.outputs";
    options.frozen_epochs = o.frozen_epochs;
  }
  return options;
}

/// What a checkpoint must agree in beside the trainer's own options.
Recipe recipe_of(const Bench& bench, Index side_of_locals) {
  using detail::exact_text;
  const Options& o = bench.options;
  Recipe recipe;
  describe(recipe, training_program::optimiser_options(o.training));
  describe(recipe, rule_of(bench));
  recipe.insert(recipe.end(), {{"local views", exact_text(o.locals)},
                               {"side of local views", exact_text(side_of_locals)},
                               {"flip", exact_text(!o.no_flip)},
                               {"views", is_published(o) ? "published" : "small"},
                               {"drop-path", exact_text(o.drop_path)}});
  return recipe;
}

/// What there is to beat.
template <class Classifier>
void print_untrained(const Bench& bench, const Classifier& encoder) {
  const double of_pixels = judge_pixels(bench).neighbour_accuracy(),
               of_encoder = judge_encoder(bench, encoder).neighbour_accuracy();
  std::printf("k-NN accuracy of pixels %s, of the untrained encoder %s\n", train_dino::percent_text(of_pixels).c_str(),
              train_dino::percent_text(of_encoder).c_str());
}

template <class Classifier>
int train(const Bench& bench) {
  using Model = SelfDistilled<Classifier>;
  const Options& o = bench.options;
  Model model = fresh_model<Classifier>(bench);
  const PatchGrid& grid = patch_grid(model);
  const Index side = local_side(o, bench.data.training, grid);
  std::printf(
      "%s, %td parameters and %td of the projection head, patches of %td x %td; %td images to train on, 2 + %td "
      "views of each\n",
      std::string(FamilyOf<Classifier>::name).c_str(), parameter_count(model.encoder),
      parameter_count(model.projection), grid.height, grid.width, bench.data.training.size(), o.locals);
  const ViewSource<float> training{bench.data.training, bench.preprocessing.normalisation, views_of(bench, side)};
  const Recipe recipe = recipe_of(bench, side);
  SelfDistillationObjective<Model> objective(rule_of(bench), model.output_dim(), o.locals, {side, side});
  auto state = training_program::first_state(std::move(model), o.training, std::move(objective));
  state.average.emplace(state.model, o.teacher_momentum);
  state.objective.evaluation = evaluation_of(bench, state);
  Trainer trainer(state, training, training, trainer_options(bench), bench.threads, recipe);
  const auto begin = [&] {
    if (state.step == 0) print_untrained(bench, state.result().encoder);
    train_dino::print_epoch_heading(bench.is_dino());
    std::fflush(stdout);
  };
  const auto on_epoch = [&](const auto& report) { train_dino::print_epoch(report, bench.is_dino()); };
  if (!training_program::run(trainer, state, o.training, training_program::length_in_epochs(o.training), begin,
                             on_epoch))
    return training_program::interrupted;
  if (!o.training.output.empty())
    std::printf(
        "\nthe teacher's encoder is in %s, as a classifier whose last map is untrained: for probe, and for\n"
        "train_classifier --from\n",
        o.training.output.c_str());
  return 0;
}

Metadata describe_options(const CLI::App& app, const Options& options) {
  return training_program::describe_options<Options>(
      app, train_dino::add_options, train_dino::continued_options(),
      [&](std::string_view name) { return train_dino::why_without_effect(name, options); });
}

image_program::Data read_data(const Options& o, Threads& threads) {
  image_program::DataOptions options;
  options.folder = o.data;
  options.image = o.image;
  image_program::Data data = image_program::read_data(options, {}, "train_dino", threads);
  if (std::optional<ImageDataSet> part = part_of(data.sets.training, o.images)) data.sets.training = std::move(*part);
  image_program::check_batch(data.sets.training, o.training.trainer.batch);
  return data;
}

int run(CLI::App& app, Options& options) {
  if (const auto begun = training_program::read_begun_checkpoint(options.training))
    training_program::complete_options(app, checkpoint_notes(*begun), train_dino::continued_options());
  else
    train_dino::apply_preset(app, options);
  train_dino::check_options(app, options);
  Threads threads(options.training.threads);
  const Metadata described = describe_options(app, options);
  const image_program::Data data = read_data(options, threads);
  const ImageDataSet &training = data.sets.training, &test = data.sets.test;
  const std::optional<ImageDataSet> known = part_of(training, options.knn_images),
                                    asked = part_of(test, options.knn_images);
  const Bench bench{options, described, data.sets, known ? *known : training, asked ? *asked : test, data.preprocessing,
                    threads};
  return options.family == "vit" ? train<TransformerClassifier<float>>(bench) : train<CrateClassifier<float>>(bench);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app("Trains the encoder of an image classifier without labels, by self-distillation.\n");
  program_options::set_up(app, "train_dino");
  train_dino::add_options(app, options);
  return training_program::on_all_ranks(options.training, [&]() -> int {
    if (const auto ended = program_options::parse(app, count, arguments)) return *ended;
    return program_options::run("train_dino", [&] { return run(app, options); });
  });
}
