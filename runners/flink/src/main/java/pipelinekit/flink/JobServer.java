package pipelinekit.flink;

import java.io.File;
import java.net.URISyntaxException;
import java.util.List;
import java.util.UUID;
import org.apache.beam.model.pipeline.v1.RunnerApi;
import org.apache.beam.runners.flink.FlinkJobInvoker;
import org.apache.beam.runners.flink.FlinkJobServerDriver;
import org.apache.beam.runners.flink.FlinkJobServerDriver.FlinkServerConfiguration;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.beam.runners.flink.FlinkPipelineRunner;
import org.apache.beam.runners.jobsubmission.JobInvocation;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.util.construction.PipelineOptionsTranslation;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Struct;
import org.apache.beam.vendor.guava.v32_1_2_jre.com.google.common.util.concurrent.ListeningExecutorService;

/**
 * Beam's job server for Flink, with the options of FlinkJobServerDriver.
 *
 * <p>Two differences. A job takes this jar to the cluster and nothing else: the driver would send
 * the whole class path, Flink's own 125 MB included. And Google's file systems aren't asked for,
 * whose jars are left out.
 */
public final class JobServer {
  /** Says that the cluster has this jar in its lib folder: jobs then take nothing along. */
  private static final String ON_CLUSTER = "pipelinekit.on-cluster";

  private JobServer() {}

  public static void main(String[] args) {
    FileSystems.setDefaultPipelineOptions(PipelineOptionsFactory.create());
    FlinkServerConfiguration configuration = FlinkJobServerDriver.parseArgs(args);
    FlinkJobServerDriver.fromConfig(configuration, () -> new Invoker(configuration)).run();
  }

  private static final class Invoker extends FlinkJobInvoker {
    // The superclass keeps what the driver knows to its own package.
    private final String flinkMaster;
    private final String flinkConfDir;

    Invoker(FlinkServerConfiguration configuration) {
      super(configuration);
      this.flinkMaster = read(configuration, "flinkMaster");
      this.flinkConfDir = read(configuration, "flinkConfDir");
    }

    @Override
    protected JobInvocation invokeWithExecutor(
        RunnerApi.Pipeline pipeline,
        Struct options,
        String retrievalToken,
        ListeningExecutorService executorService) {
      FlinkPipelineOptions flinkOptions =
          PipelineOptionsTranslation.fromProto(options).as(FlinkPipelineOptions.class);
      if (FlinkPipelineOptions.AUTO.equals(flinkOptions.getFlinkMaster())) {
        flinkOptions.setFlinkMaster(flinkMaster);
      }
      flinkOptions.setRunner(null);
      return createJobInvocation(
          flinkOptions.getJobName() + "_" + UUID.randomUUID(),
          retrievalToken,
          executorService,
          pipeline,
          flinkOptions,
          new FlinkPipelineRunner(flinkOptions, flinkConfDir, filesToStage()));
    }

    private static List<String> filesToStage() {
      return Boolean.getBoolean(ON_CLUSTER) ? List.of() : List.of(ownJar());
    }

    private static String ownJar() {
      try {
        return new File(
                JobServer.class.getProtectionDomain().getCodeSource().getLocation().toURI())
            .getAbsolutePath();
      } catch (URISyntaxException e) {
        throw new IllegalStateException("the place of the job server's jar is no path", e);
      }
    }

    private static String read(FlinkServerConfiguration configuration, String name) {
      try {
        var field = FlinkServerConfiguration.class.getDeclaredField(name);
        field.setAccessible(true);
        return (String) field.get(configuration);
      } catch (ReflectiveOperationException e) {
        throw new IllegalStateException("FlinkServerConfiguration has no field " + name, e);
      }
    }
  }
}
