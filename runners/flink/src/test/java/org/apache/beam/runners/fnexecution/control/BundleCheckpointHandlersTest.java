package org.apache.beam.runners.fnexecution.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.BundleApplication;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.DelayedBundleApplication;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleResponse;
import org.apache.beam.runners.core.InMemoryStateInternals;
import org.apache.beam.runners.core.InMemoryTimerInternals;
import org.apache.beam.runners.core.StateInternals;
import org.apache.beam.runners.core.StateNamespace;
import org.apache.beam.runners.core.StateTag;
import org.apache.beam.runners.core.StateTags;
import org.apache.beam.runners.core.TimerInternals.TimerData;
import org.apache.beam.runners.fnexecution.control.BundleCheckpointHandlers.StateAndTimerBundleCheckpointHandler;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.state.State;
import org.apache.beam.sdk.state.StateContext;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.IntervalWindow;
import org.apache.beam.sdk.transforms.windowing.PaneInfo;
import org.apache.beam.sdk.util.CoderUtils;
import org.apache.beam.sdk.values.WindowedValue;
import org.apache.beam.sdk.values.WindowedValues;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.ByteString;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Duration;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Timestamp;
import org.joda.time.Instant;
import org.junit.jupiter.api.Test;

/** An element is "key/restriction" here; state and timers are Beam's own in-memory ones, by key. */
class BundleCheckpointHandlersTest {
  private static final IntervalWindow WINDOW = new IntervalWindow(new Instant(0), new Instant(60_000));
  private static final IntervalWindow NEXT = new IntervalWindow(new Instant(60_000), new Instant(120_000));
  private static final Coder<IntervalWindow> WINDOW_CODER = IntervalWindow.getCoder();
  private static final Coder<WindowedValue<String>> CODER =
      WindowedValues.getFullCoder(StringUtf8Coder.of(), WINDOW_CODER);

  private final Map<String, Timers> timers = new HashMap<>();
  private final Map<String, StateInternals> states = new HashMap<>();
  private final Set<String> names = new TreeSet<>();
  private StateAndTimerBundleCheckpointHandler<String> handler = newHandler();

  @Test
  void namesStayBoundedHoweverOftenAnElementCheckpoints() throws Exception {
    for (int round = 0; round < 10_000; round++) {
      WindowedValue<String> residual = value("shard/" + round, WINDOW);
      handler.onCheckpoint(response(residual));
      assertEquals(List.of(residual), fireAll("shard"));
    }

    assertEquals(Set.of("sdf_checkpoint:0"), names);
  }

  @Test
  void manyElementsShareTheNames() throws Exception {
    List<WindowedValue<String>> residuals = new ArrayList<>();
    for (int element = 0; element < 500; element++) {
      residuals.add(value("element-" + element + "/r", WINDOW));
    }
    handler.onCheckpoint(response(residuals.toArray(new WindowedValue[0])));

    for (WindowedValue<String> residual : residuals) {
      assertEquals(List.of(residual), fireAll(key(residual.getValue())));
    }
    assertEquals(Set.of("sdf_checkpoint:0"), names);
  }

  @Test
  void anEqualElementThatWaitsIsNotOverwritten() throws Exception {
    WindowedValue<String> waiting = value("twin/waits", WINDOW);
    handler.onCheckpoint(response(delayed(waiting, 3600, 0)));
    for (int round = 0; round < 1_000; round++) {
      WindowedValue<String> residual = value("twin/" + round, WINDOW);
      handler.onCheckpoint(response(residual));
      assertEquals(List.of(residual), fire("twin", Instant.now().plus(1_000)));
    }

    assertEquals(List.of(waiting), fireAll("twin"));
    assertEquals(Set.of("sdf_checkpoint:0", "sdf_checkpoint:1"), names);
  }

  @Test
  void afterARestoreNamesThatWaitAreKnown() throws Exception {
    WindowedValue<String> before = value("twin/before", WINDOW);
    WindowedValue<String> after = value("twin/after", WINDOW);
    handler.onCheckpoint(response(before));

    handler = newHandler(); // state and timers stay
    handler.onCheckpoint(response(after));

    assertEquals(Set.of(before, after), new HashSet<>(fireAll("twin")));
  }

  @Test
  void eachWindowOfAResidualComesBackByItself() throws Exception {
    WindowedValue<String> both =
        WindowedValues.of("key/r", new Instant(5), List.of(WINDOW, NEXT), PaneInfo.NO_FIRING);
    handler.onCheckpoint(response(both));

    assertEquals(
        Set.of(value("key/r", WINDOW), value("key/r", NEXT)), new HashSet<>(fireAll("key")));
  }

  @Test
  void delaysKeepMillisecondsAndAreNeverShort() {
    Instant before = Instant.now();
    handler.onCheckpoint(response(delayed(value("key/r", WINDOW), 1, 250_000_001)));
    Instant after = Instant.now();

    Instant due = timers.get("key").last.getTimestamp();
    assertFalse(due.isBefore(before.plus(1_251)));
    assertFalse(due.isAfter(after.plus(1_251)));
  }

  @Test
  void theLeastOutputWatermarkHolds() {
    handler.onCheckpoint(
        response(
            watermarked(value("key/r", WINDOW), Map.of("a", timestamp(17, 999_999), "b", timestamp(16, 123_999_999)))));

    assertEquals(new Instant(16_123), timers.get("key").last.getOutputTimestamp());
  }

  @Test
  void withoutOutputWatermarksNothingPasses() {
    handler.onCheckpoint(response(value("key/r", WINDOW)));

    assertEquals(BoundedWindow.TIMESTAMP_MIN_VALUE, timers.get("key").last.getOutputTimestamp());
  }

  @Test
  void whatTheOperatorCallsATimerOfOursIsOne() {
    handler.onCheckpoint(response(value("key/r", WINDOW)));

    assertTrue(
        StateAndTimerBundleCheckpointHandler.isSdfTimer(timers.get("key").last.getTimerId()));
    assertFalse(StateAndTimerBundleCheckpointHandler.isSdfTimer("early"));
  }

  private StateAndTimerBundleCheckpointHandler<String> newHandler() {
    return new StateAndTimerBundleCheckpointHandler<>(
        value -> timers.computeIfAbsent(key(value), key -> new Timers()),
        value ->
            new Recording(
                states.computeIfAbsent(key(value), InMemoryStateInternals::forKey), names),
        CODER,
        WINDOW_CODER,
        (internals, namespace, timerId) -> ((Timers) internals).waits(namespace, timerId));
  }

  private List<WindowedValue<String>> fireAll(String key) throws Exception {
    return fire(key, Instant.now().plus(86_400_000));
  }

  /** What the operator does: the timer is gone, then the cell of its name is read, not cleared. */
  private List<WindowedValue<String>> fire(String key, Instant now) throws Exception {
    List<WindowedValue<String>> residuals = new ArrayList<>();
    Timers mine = timers.get(key);
    for (TimerData timer : mine.takeDue(now)) {
      residuals.add(
          states
              .get(key)
              .state(timer.getNamespace(), StateTags.value(timer.getTimerId(), CODER))
              .read());
    }
    return residuals;
  }

  private static String key(String value) {
    return value.substring(0, value.indexOf('/'));
  }

  private static WindowedValue<String> value(String value, IntervalWindow window) {
    return WindowedValues.of(value, new Instant(5), window, PaneInfo.NO_FIRING);
  }

  private static Timestamp timestamp(long seconds, int nanos) {
    return Timestamp.newBuilder().setSeconds(seconds).setNanos(nanos).build();
  }

  @SafeVarargs
  private static ProcessBundleResponse response(WindowedValue<String>... residuals) {
    ProcessBundleResponse.Builder response = ProcessBundleResponse.newBuilder();
    for (WindowedValue<String> residual : residuals) {
      response.addResidualRoots(DelayedBundleApplication.newBuilder().setApplication(application(residual)));
    }
    return response.build();
  }

  private static ProcessBundleResponse response(DelayedBundleApplication residual) {
    return ProcessBundleResponse.newBuilder().addResidualRoots(residual).build();
  }

  private static DelayedBundleApplication delayed(
      WindowedValue<String> residual, long seconds, int nanos) {
    return DelayedBundleApplication.newBuilder()
        .setApplication(application(residual))
        .setRequestedTimeDelay(Duration.newBuilder().setSeconds(seconds).setNanos(nanos))
        .build();
  }

  private static DelayedBundleApplication watermarked(
      WindowedValue<String> residual, Map<String, Timestamp> watermarks) {
    return DelayedBundleApplication.newBuilder()
        .setApplication(application(residual).toBuilder().putAllOutputWatermarks(watermarks))
        .build();
  }

  private static BundleApplication application(WindowedValue<String> residual) {
    try {
      return BundleApplication.newBuilder()
          .setElement(ByteString.copyFrom(CoderUtils.encodeToByteArray(CODER, residual)))
          .build();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  /** Timers of one key that tell, as Flink's operator can, which of them wait. */
  private static final class Timers extends InMemoryTimerInternals {
    private final Map<String, TimerData> waiting = new HashMap<>();
    private TimerData last;

    @Override
    public void setTimer(TimerData timer) {
      last = timer;
      waiting.put(timer.getNamespace().stringKey() + timer.getTimerId(), timer);
      super.setTimer(timer);
    }

    boolean waits(StateNamespace namespace, String timerId) {
      return waiting.containsKey(namespace.stringKey() + timerId);
    }

    List<TimerData> takeDue(Instant now) throws Exception {
      List<TimerData> due = new ArrayList<>();
      if (now.isAfter(currentProcessingTime())) {
        advanceProcessingTime(now);
      }
      for (TimerData timer; (timer = removeNextProcessingTimer()) != null; ) {
        waiting.remove(timer.getNamespace().stringKey() + timer.getTimerId());
        due.add(timer);
      }
      return due;
    }
  }

  /** State that notes the names it is asked for. */
  private static final class Recording implements StateInternals {
    private final StateInternals states;
    private final Set<String> names;

    Recording(StateInternals states, Set<String> names) {
      this.states = states;
      this.names = names;
    }

    @Override
    public Object getKey() {
      return states.getKey();
    }

    @Override
    public <S extends State> S state(StateNamespace namespace, StateTag<S> tag, StateContext<?> c) {
      names.add(tag.getId());
      return states.state(namespace, tag, c);
    }
  }
}
