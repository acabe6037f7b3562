# what: classes of a project compiled and packed, then once more with nothing to do
# packages: gradle default-jdk-headless
# timeout: 300
# ignore: ^(home|\.gradle)
# prepare
mkdir -p src/main/java; echo 'apply plugin: "java"' >build.gradle; echo 'rootProject.name = "a"' >settings.gradle
echo 'public class A { public static void main(String[] a) { System.out.println(6 * 7); } }' >src/main/java/A.java
# run
export HOME=$PWD/home; for i in 1 2; do gradle --offline --no-daemon -q -g $PWD/home jar 2>&1 | grep -v -i warning; done; java -cp build/libs/a.jar A; find build -name '*.class'; rm -rf build home .gradle
