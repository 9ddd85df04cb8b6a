package org.apache.beam.runners.fnexecution.control;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import org.apache.beam.runners.core.StateNamespace;
import org.apache.beam.runners.core.TimerInternals;

/**
 * What is pending according to Flink's operator: its keyed map of timers by id, from which a timer
 * leaves when it fires.
 *
 * <p>Beam has no public way to ask; the way here is that of Beam 2.70's classes
 * (SdfFlinkTimerInternals → DoFnOperator.timerInternals → pendingTimersById). In another version
 * the first self-checkpoint fails with what is missing, rather than lose a residual.
 */
final class FlinkPendingTimers implements BundleCheckpointHandlers.PendingTimers {
  private static final String OPERATOR =
      "org.apache.beam.runners.flink.translation.wrappers.streaming.DoFnOperator";

  private Field operator;
  private Field timerInternals;
  private Field pendingTimersById;
  private Method contains;

  @Override
  public boolean contains(TimerInternals timers, StateNamespace namespace, String timerId) {
    try {
      if (contains == null) {
        find(timers);
      }
      Object pending = pendingTimersById.get(timerInternals.get(operator.get(timers)));
      return (boolean) contains.invoke(pending, "+" + timerId + namespace.stringKey());
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("this class is for Beam 2.70 and its Flink runner", e);
    }
  }

  private void find(TimerInternals timers) throws ReflectiveOperationException {
    operator = accessible(timers.getClass().getDeclaredField("this$0"));
    Class<?> type = operator.getType();
    while (!type.getName().equals(OPERATOR)) {
      type = type.getSuperclass();
    }
    timerInternals = accessible(type.getDeclaredField("timerInternals"));
    pendingTimersById = accessible(timerInternals.getType().getDeclaredField("pendingTimersById"));
    contains = pendingTimersById.getType().getMethod("contains", Object.class);
  }

  private static Field accessible(Field field) {
    field.setAccessible(true);
    return field;
  }
}
