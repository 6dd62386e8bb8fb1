// SPDX-License-Identifier: MIT
// The bodies of self_distillation.hpp.

namespace crate {

namespace detail {

/// Throws ShapeError unless there are as many views as can be compared, all of one size.
template <class Student, class Teacher>
void check_views(const std::vector<Student>& student, const std::vector<Teacher>& teacher) {
  if (teacher.empty() || student.size() < std::max<std::size_t>(2, teacher.size()))
    throw ShapeError(concatenate(
        "self-distillation: expected a view of the teacher or more, and two of the student or as many, found ",
        teacher.size(), " and ", student.size()));
  check_not_empty("self-distillation: features", teacher.front());
  const Index rows = teacher.front().rows(), images = teacher.front().cols();
  for (const auto& view : teacher) check_shape("self-distillation: a view of the teacher", view, rows, images);
  for (const auto& view : student) check_shape("self-distillation: a view of the student", view, rows, images);
}

/// n, over whose pairs the losses are means.
[[nodiscard]] inline double pairs_of_views(std::size_t student, std::size_t teacher) {
  return static_cast<double>(teacher * student - teacher);
}

/// -sum q log q; what is 0 adds nothing.
template <class Derived>
[[nodiscard]] double output_entropy(const Eigen::MatrixBase<Derived>& q) {
  double sum = 0;
  for (Index k = 0; k < q.size(); ++k)
    if (q(k) > 0) sum -= q(k) * std::log(q(k));
  return sum;
}

/// sum of log(1 + a_k) - log(1 + sum of a_k) for a_k >= 0, as a sum of terms none of which is negative.
[[nodiscard]] inline double log_excess(const Vector<double>& a) {
  double excess = 0, before = 0;
  for (Index k = 0; k < a.size(); ++k) {
    excess += std::log1p(a(k) * (before / (1 + before + a(k))));
    before += a(k);
  }
  return excess;
}

/// A length, or 1 for that of zeros.
[[nodiscard]] inline double nonzero(double length) { return length > 0 ? length : 1; }

/// The sum over g != v of column b.
[[nodiscard]] inline Vector<double> sum_of_others(const std::vector<Matrix<double>>& views, std::size_t v, Index b) {
  Vector<double> sum = Vector<double>::Zero(views.front().rows());
  for (std::size_t g = 0; g < views.size(); ++g)
    if (g != v) sum += views[g].col(b);
  return sum;
}

}  // namespace detail

template <Scalar S>
std::vector<Matrix<double>> dino_targets(const ViewFeatures<S>& teacher, const Vector<S>& centre,
                                         double teacher_temperature, Threads& threads) {
  DinoOptions{.teacher_temperature = teacher_temperature}.check();
  std::vector<Matrix<double>> targets;
  for (const auto& view : teacher) {
    check_size("DINO: entries of the centre", centre.size(), view.rows());
    Matrix<double>& q = targets.emplace_back(view.rows(), view.cols());
    threads.for_each(view.cols(), [&](Index b, int) {
      q.col(b) = (view.col(b) - centre).template cast<double>() / teacher_temperature;
      q.col(b) = (q.col(b).array() - q.col(b).maxCoeff()).exp().matrix().eval();
      q.col(b) /= q.col(b).sum();
    });
  }
  return targets;
}

template <Scalar S>
ViewLoss<S> dino_loss(const ViewFeatures<S>& student, const std::vector<Matrix<double>>& targets,
                      double student_temperature, Threads& threads) {
  DinoOptions{.student_temperature = student_temperature}.check();
  detail::check_views(student, targets);
  const Index images = student.front().cols();
  const auto views = static_cast<Index>(student.size());
  const double weight = 1 / (detail::pairs_of_views(student.size(), targets.size()) * static_cast<double>(images));
  ViewLoss<S> result;
  for (const auto& view : student) result.by_student.emplace_back(view.rows(), view.cols());
  Matrix<double> losses = Matrix<double>::Zero(images, views);  // of an image in a view, so that sums have one order
  threads.for_each(images * views, [&](Index i, int) {
    const Index b = i / views, v = i % views;
    const auto view = static_cast<std::size_t>(v);
    Vector<double> x = student[view].col(b).template cast<double>() / student_temperature;
    x.array() -= x.maxCoeff();
    const double log_sum = std::log(x.array().exp().sum());
    const Vector<double> told = (x.array() - log_sum).exp();
    Vector<double> gradient = Vector<double>::Zero(x.size());
    for (std::size_t g = 0; g < targets.size(); ++g) {
      if (g == view) continue;
      losses(b, v) += log_sum - targets[g].col(b).dot(x);
      gradient += told - targets[g].col(b);
    }
    result.by_student[view].col(b) = (weight / student_temperature * gradient).template cast<S>();
  });
  result.loss = weight * losses.sum();
  return result;
}

template <Scalar S>
Vector<S> dino_centre(const Vector<S>& centre, const ViewFeatures<S>& teacher, double momentum) {
  check_option(momentum >= 0 && momentum <= 1, "DINO: momentum of the centre in [0, 1]", momentum);
  Vector<double> sum = Vector<double>::Zero(centre.size());
  double count = 0;
  for (const auto& view : teacher) {
    check_size("DINO: entries of the centre", centre.size(), view.rows());
    for (Index b = 0; b < view.cols(); ++b) sum += view.col(b).template cast<double>();
    count += static_cast<double>(view.cols());
  }
  if (count == 0) throw ShapeError("DINO: expected features of the teacher, found none");
  return (momentum * centre.template cast<double>() + (1 - momentum) / count * sum).template cast<S>();
}

inline double OutputEntropies::spread() const {
  const Index told_apart = std::min(outputs, images);
  return told_apart > 1 ? (of_mean - mean) / std::log(static_cast<double>(told_apart)) : 1;
}

inline OutputEntropies output_entropies(const std::vector<Matrix<double>>& distributions) {
  if (distributions.empty()) throw ShapeError("entropies: expected distributions, found none");
  OutputEntropies result{.outputs = distributions.front().rows(), .images = distributions.front().cols()};
  const double views = static_cast<double>(distributions.size());
  for (const Matrix<double>& q : distributions) {
    check_not_empty("entropies: distributions", q);
    check_shape("entropies: distributions", q, result.outputs, result.images);
    result.of_mean += detail::output_entropy(Vector<double>(q.rowwise().mean())) / views;
    double sum = 0;
    for (Index b = 0; b < q.cols(); ++b) sum += detail::output_entropy(q.col(b));
    result.mean += sum / static_cast<double>(q.cols()) / views;
  }
  return result;
}

namespace detail {

/// Sum over images b of cos(t_g, s_v) over the global views g != v, where `directions` are those of the t_g. Writes
/// factor times its gradient by s_v into `gradient`.
template <Scalar S>
double compare_view(const MatrixMap<S>& student, const std::vector<Matrix<double>>& directions, std::size_t v,
                    double factor, Matrix<S>& gradient) {
  gradient.resize(student.rows(), student.cols());
  double sum = 0;
  for (Index b = 0; b < student.cols(); ++b) {
    const Vector<double> others = sum_of_others(directions, v, b), s = student.col(b).template cast<double>();
    const double length = nonzero(s.norm()), cosines = others.dot(s) / length;
    sum += cosines;
    gradient.col(b) = (factor / length * (others - cosines / length * s)).template cast<S>();
  }
  return sum;
}

}  // namespace detail

template <Scalar S>
CodingRateViewLoss<S> coding_rate_distillation_loss(const ViewFeatures<S>& student, const ViewFeatures<S>& teacher,
                                                    const CodingRateDistillationOptions& options, Threads& threads) {
  options.check();
  detail::check_views(student, teacher);
  const Index dim = student.front().rows(), images = student.front().cols();
  const double p = static_cast<double>(dim), m = static_cast<double>(images);
  const double gamma = (p + m) / (p * m), globals = static_cast<double>(teacher.size());
  const double pair = 1 / (detail::pairs_of_views(student.size(), teacher.size()) * m);
  const double share_of_student = options.expansion_of == ExpansionOf::student ? 1 : 0.5;
  const CodingRateOptions precision{.epsilon = std::sqrt(options.squared_epsilon)};

  std::vector<Matrix<double>> directions;  // of the teacher's features
  for (const auto& view : teacher) directions.push_back(unit_columns<double>(view.template cast<double>()));

  CodingRateViewLoss<S> result;
  result.by_student.resize(student.size());
  std::vector<double> comparisons(student.size()), rates(teacher.size()), spreads(teacher.size());
  threads.for_each(static_cast<Index>(student.size()), [&](Index view, int) {
    const auto v = static_cast<std::size_t>(view);
    comparisons[v] =
        detail::compare_view(student[v], directions, v, -options.comparison_weight * pair, result.by_student[v]);
    if (v >= teacher.size()) return;
    Matrix<S> w = student[v];
    if (options.expansion_of == ExpansionOf::student_and_teacher) w = S(0.5) * (w + teacher[v]);
    rates[v] = coding_rate(w, precision);
    spreads[v] = expansion_spread(w, options.squared_epsilon);
    result.by_student[v] -= static_cast<S>(share_of_student * gamma / globals) * coding_rate_gradient(w, precision);
  });
  for (const double sum : comparisons) result.comparison += pair * sum;
  for (const double rate : rates) result.expansion += gamma / globals * rate;
  result.loss = -options.comparison_weight * result.comparison - result.expansion;
  for (const double spread : spreads) result.spread += spread / globals;
  return result;
}

template <Scalar S>
double expansion_spread(const Matrix<S>& features, double squared_epsilon) {
  const Index dim = features.rows(), images = features.cols(), rank = std::min(dim, images);
  check_option(rank >= 1, "spread: at least 1 x 1 features", concatenate(dim, " x ", images));
  check_option(squared_epsilon > 0, "spread: epsilon^2 > 0", squared_epsilon);
  if (rank == 1) return 1;
  const Matrix<double> z = unit_columns<double>(features.template cast<double>());
  const Matrix<double> gram = dim <= images ? Matrix<double>(z * z.transpose()) : Matrix<double>(z.transpose() * z);
  if (!gram.allFinite()) return std::numeric_limits<double>::quiet_NaN();
  const Eigen::SelfAdjointEigenSolver<Matrix<double>> spectrum(gram, Eigen::EigenvaluesOnly);
  if (!has_succeeded(spectrum)) throw PrecisionError("spread: the eigenvalues could not be found");
  const double scale = static_cast<double>(dim) / (static_cast<double>(images) * squared_epsilon);
  const Vector<double> energies = scale * spectrum.eigenvalues().cwiseMax(0);
  if (energies.sum() == 0) return 0;
  return detail::log_excess(energies) / detail::log_excess(Vector<double>::Constant(rank, energies.mean()));
}

}  // namespace crate
