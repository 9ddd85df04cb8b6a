package org.apache.beam.runners.fnexecution.control;

import org.apache.beam.model.fnexecution.v1.BeamFnApi.BundleApplication;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.DelayedBundleApplication;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleResponse;
import org.apache.beam.runners.core.StateInternals;
import org.apache.beam.runners.core.StateInternalsFactory;
import org.apache.beam.runners.core.StateNamespace;
import org.apache.beam.runners.core.StateNamespaces;
import org.apache.beam.runners.core.StateTags;
import org.apache.beam.runners.core.TimerInternals;
import org.apache.beam.runners.core.TimerInternalsFactory;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.state.TimeDomain;
import org.apache.beam.sdk.state.ValueState;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.util.CoderUtils;
import org.apache.beam.sdk.values.WindowedValue;
import org.apache.beam.sdk.values.WindowedValues;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Duration;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Timestamp;
import org.joda.time.Instant;

/**
 * In place of Beam's class of this name: what a splittable DoFn leaves over at a self-checkpoint
 * waits in a state cell for the timer of the cell's name.
 *
 * <p>Beam 2.70 takes a new name each time, and the firing side reads the cell without clearing it:
 * state grows for ever (apache/beam#27648). Here a name is taken again as soon as its timer has
 * fired: there are as many names as residuals of one element in one window wait at a time, which is
 * one unless equal elements are read. Two residuals never share a name, also after a restore,
 * because what is pending is asked of the operator's own state.
 *
 * <p>Delays keep their milliseconds (rounded up: never early), and so do watermark holds (rounded
 * down: never late), where Beam drops down to seconds.
 */
public class BundleCheckpointHandlers {

  /** Tells whether a timer waits; the answer is about the key whose state was touched last. */
  interface PendingTimers {
    boolean contains(TimerInternals timers, StateNamespace namespace, String timerId);
  }

  /** The handler that Flink's operator makes, by this name and constructor. */
  public static class StateAndTimerBundleCheckpointHandler<T> implements BundleCheckpointHandler {
    public static final String SDF_PREFIX = "sdf_checkpoint";

    private final TimerInternalsFactory<T> timerInternalsFactory;
    private final StateInternalsFactory<T> stateInternalsFactory;
    private final Coder<WindowedValue<T>> residualCoder;

    @SuppressWarnings("rawtypes")
    private final Coder windowCoder;

    private final PendingTimers pendingTimers;

    @SuppressWarnings("rawtypes")
    public StateAndTimerBundleCheckpointHandler(
        TimerInternalsFactory<T> timerInternalsFactory,
        StateInternalsFactory<T> stateInternalsFactory,
        Coder<WindowedValue<T>> residualCoder,
        Coder windowCoder) {
      this(
          timerInternalsFactory,
          stateInternalsFactory,
          residualCoder,
          windowCoder,
          new FlinkPendingTimers());
    }

    @SuppressWarnings("rawtypes")
    StateAndTimerBundleCheckpointHandler(
        TimerInternalsFactory<T> timerInternalsFactory,
        StateInternalsFactory<T> stateInternalsFactory,
        Coder<WindowedValue<T>> residualCoder,
        Coder windowCoder,
        PendingTimers pendingTimers) {
      this.timerInternalsFactory = timerInternalsFactory;
      this.stateInternalsFactory = stateInternalsFactory;
      this.residualCoder = residualCoder;
      this.windowCoder = windowCoder;
      this.pendingTimers = pendingTimers;
    }

    public static boolean isSdfTimer(String timerId) {
      return timerId.startsWith(SDF_PREFIX);
    }

    @Override
    public void onCheckpoint(ProcessBundleResponse response) {
      for (DelayedBundleApplication residual : response.getResidualRootsList()) {
        if (!residual.hasApplication()) {
          continue;
        }
        try {
          keep(residual);
        } catch (Exception e) {
          throw new RuntimeException("a residual of a splittable DoFn could not be kept", e);
        }
      }
    }

    @SuppressWarnings("unchecked")
    private void keep(DelayedBundleApplication residual) throws Exception {
      BundleApplication application = residual.getApplication();
      WindowedValue<T> value =
          CoderUtils.decodeFromByteArray(residualCoder, application.getElement().toByteArray());
      TimerInternals timers = timerInternalsFactory.timerInternalsForKey(value.getValue());
      StateInternals states = stateInternalsFactory.stateInternalsForKey(value.getValue());
      Instant due = Instant.now().plus(delayMillis(residual));
      Instant hold = Instant.ofEpochMilli(holdMillis(application));
      for (BoundedWindow window : value.getWindows()) {
        StateNamespace namespace = StateNamespaces.window(windowCoder, window);
        for (int number = 0; ; number++) {
          String name = SDF_PREFIX + ":" + number;
          // Touching the cell makes the residual's key the current one.
          ValueState<WindowedValue<T>> cell =
              states.state(namespace, StateTags.value(name, residualCoder));
          if (!pendingTimers.contains(timers, namespace, name)) {
            timers.setTimer(namespace, name, "", due, hold, TimeDomain.PROCESSING_TIME);
            cell.write(
                WindowedValues.of(
                    value.getValue(), value.getTimestamp(), window, value.getPaneInfo()));
            break;
          }
        }
      }
    }

    private static long delayMillis(DelayedBundleApplication residual) {
      Duration delay = residual.getRequestedTimeDelay(); // zero when none is requested
      return delay.getSeconds() * 1000 + Math.floorDiv(delay.getNanos() + 999_999, 1_000_000);
    }

    /** The least output watermark; without any, nothing may pass. */
    private static long holdMillis(BundleApplication application) {
      return application.getOutputWatermarksMap().values().stream()
          .mapToLong(BundleCheckpointHandlers::millis)
          .min()
          .orElse(BoundedWindow.TIMESTAMP_MIN_VALUE.getMillis());
    }
  }

  private static long millis(Timestamp timestamp) {
    long millis = timestamp.getSeconds() * 1000 + Math.floorDiv(timestamp.getNanos(), 1_000_000);
    return Math.min(millis, BoundedWindow.TIMESTAMP_MAX_VALUE.getMillis());
  }
}
