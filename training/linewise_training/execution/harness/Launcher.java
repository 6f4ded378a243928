// Runs the main method of the class that it is given, and writes the mark when that returns.
class LinewiseLauncher {
    public static void main(String[] names) throws Throwable {
        byte[] mark = System.in.readAllBytes();
        java.lang.reflect.Method main = Class.forName(names[0]).getDeclaredMethod("main", String[].class);
        main.setAccessible(true);
        try {
            main.invoke(null, (Object) new String[0]);
        } catch (java.lang.reflect.InvocationTargetException error) {
            System.out.flush();
            throw error.getCause();
        }
        System.out.flush();
        try (var channel = new java.io.FileOutputStream("/dev/fd/3")) {
            channel.write(mark);
        }
        Runtime.getRuntime().halt(0);
    }
}
